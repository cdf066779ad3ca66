import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../cache/kv_cache.js';
import {full} from '../cache/policies/full.js';
import {onlineSvd} from '../cache/policies/online_svd.js';
import {quantized} from '../cache/policies/quantized.js';
import {loadModel} from '../models/index.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

const policies = {
  full: full(),
  int8: quantized({bits: 8}),
  int4: quantized({bits: 4}),
  lowRank: onlineSvd(),
};

/** One token of a whole model behind `tokens` others, under each policy; random ids, since time does not depend on them. */
export async function modelRows(source: string, tokens: number, rounds: number): Promise<Row[]> {
  const {model, config, name, dispose} = await loadModel(source);
  const ids = (count: number): tf.Tensor => tf.randomUniformInt([1, count], 0, config.vocabSize, 1);
  const step = async (cache: KVCache, count: number): Promise<void> => {
    const logits = tf.tidy(() => model.apply(ids(count), {cache}) as tf.Tensor);
    await logits.data();
    logits.dispose();
  };
  const caches: {codec: string; cache: KVCache}[] = [];
  for (const [codec, policy] of Object.entries(policies)) {
    const cache = new KVCache(model, policy, {expectedTokens: tokens + 256, beyondContext: true});
    for (let at = 0; at < tokens; at += 128) await step(cache, Math.min(128, tokens - at));
    caches.push({codec, cache});
  }
  const tasks = Object.fromEntries(caches.map(({codec, cache}) => [codec, () => step(cache, 1)]));
  const ms = await measure(tasks, rounds, 2);
  caches.forEach(({cache}) => cache.dispose());
  dispose();
  return caches.map(({codec}) => ({
    ...{op: 'model', backend: tf.getBackend(), codec, shape: name, tokens, ms: ms[codec]!},
    timesDense: ms['full']! / ms[codec]!,
  }));
}
