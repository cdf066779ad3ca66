/**
 * Long texts through policies with a budget: `npm run bench:long_run [-- TOKENS [POLICY ...]]` (20,000 and all of them).
 *
 * The embedded model generates TOKENS tokens, far beyond its context, through one cache. Bytes and tensors are read at
 * checkpoints: both must stay flat once the budget is full.
 */
import * as tf from '@tensorflow/tfjs';
import {KVCache, makePolicy, parsePolicy, policyNames} from '../cache/index.js';
import {generateIds} from '../models/generate.js';
import {loadModel} from '../models/load_model.js';
import {useBackend} from '../ops/backends/use_backend.js';

async function main(): Promise<void> {
  const [tokens = '20000', ...named] = process.argv.slice(2);
  const total = Number(tokens);
  const bounded = policyNames().filter(name => makePolicy({name}).tokenBudget !== undefined);
  await useBackend('wasm');
  const {model, tokenizer, dispose} = await loadModel();
  for (const policy of named.length > 0 ? named : bounded) {
    const cache = new KVCache(model, parsePolicy(policy), {beyondContext: true});
    const prompt = tokenizer.encode('In the beginning');
    const start = performance.now();
    const seen: {tokens: number; bytes: number; tensors: number; rss: number}[] = [];
    let count = 0;
    for await (const id of generateIds(model, prompt, {cache, maxTokens: total, temperature: 0.9, seed: 1})) {
      if (!Number.isInteger(id)) throw new Error(`token ${count} is no number`);
      if (++count % Math.ceil(total / 10) === 0) {
        seen.push({
          tokens: count,
          bytes: cache.byteSize,
          tensors: tf.memory().numTensors,
          rss: process.memoryUsage().rss,
        });
      }
    }
    const flat = seen.slice(1); // the first tenth fills the budget
    const spread = Math.max(...flat.map(({bytes}) => bytes)) / Math.min(...flat.map(({bytes}) => bytes)) - 1;
    const tensors = new Set(flat.map(row => row.tensors));
    console.log(
      `${policy}: ${count} tokens in ${((performance.now() - start) / 1000).toFixed(0)} s; bytes ${seen.map(({bytes}) => bytes).join(' ')} ` +
        `(spread ${(100 * spread).toFixed(2)} % from the second tenth on); tensors ${[...tensors].join(' ')}; ` +
        `rss ${seen.map(({rss}) => (rss / 2 ** 20).toFixed(0)).join(' ')} MiB`,
    );
    cache.dispose();
  }
  dispose();
}

await main();
