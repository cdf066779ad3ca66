/** What a user does first, by the package's public names: generates through a cache, saves it, restores it, goes on. */
import {strict as assert} from 'node:assert';
import * as tf from '@tensorflow/tfjs';
import {KVCache, attention, evaluate, generate, loadModel, quantized} from 'eigenkv';
import {policyNames} from 'eigenkv/extend';

const loaded = await loadModel();
const {model} = loaded;
const cache = new KVCache(model, quantized({bits: 8}));
let text = '';
for await (const piece of generate(loaded, 'It was a fine morning,', {cache, tokens: 40})) text += piece;
assert(text.length > 40 && cache.tokens > 40);

const restored = await KVCache.restore(await cache.save(), model);
const next = async from => {
  const ids = [];
  for await (const id of generate(model, [5], {cache: from, tokens: 10})) ids.push(id);
  return ids;
};
assert.deepEqual(await next(restored), await next(cache));

for (const name of policyNames()) {
  const other = new KVCache(model, name);
  tf.tidy(() => void model.apply(tf.tensor2d([[1, 2, 3]], undefined, 'int32'), {cache: other}));
  assert.equal(other.tokens, 3);
  other.dispose();
}
assert.equal(typeof evaluate, 'function');
assert.equal(attention({numHeads: 2, headDim: 8, depth: 0}).getClassName(), 'EigenkvAttention');
cache.dispose();
restored.dispose();
loaded.dispose();
console.log(`${policyNames().length} policies, a snapshot, ${text.length} characters of text`);
