import * as tf from '@tensorflow/tfjs';
import {store as indexedDb} from 'recipe:idb-keyval.ts';
import {store as opfs} from 'recipe:navigator.storage.ts';
import {KVCache, bands, h2o, quantized} from '../../../cache/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {tinyModel} from '../../support/tiny_model.js';

// The page that snapshots.browser.ts opens: a tiny model with the same weights at each visit, a cache, and
// the browser's stores as docs/SNAPSHOTS.md makes them.

declare global {
  /** Generates, saves into both stores, goes on: the tokens of that. */
  function saveAndGoOn(): Promise<number[]>;
  /** What each store's snapshot, restored, goes on with; and what comes of a name that was never set. */
  function restoreAndGoOn(): Promise<{indexedDb: number[]; opfs: number[]; unknown: unknown[]}>;
}

await useBackend('wasm');
const model = tinyModel();
const stores = {indexedDb, opfs};
const [name, firstToken] = ['chat', 7];

globalThis.saveAndGoOn = async () => {
  // codes and scales, evictions, scores and positions: all kinds of tensors
  const plan = bands({
    shallow: quantized({bits: 4, groupSize: 8, residual: 4}),
    deep: h2o({heavyBudget: 16, recentBudget: 16}),
    output: h2o({heavyBudget: 16, recentBudget: 16}),
  });
  const cache = new KVCache(model, plan);
  const [last] = (await generate(cache, firstToken, 5)).slice(-1);
  for (const store of Object.values(stores)) await store.set(name, await cache.save());
  // the later snapshot takes the place of the former
  const [newest] = (await generate(cache, last!, 60)).slice(-1);
  for (const store of Object.values(stores)) await store.set(name, await cache.save());
  localStorage.setItem('newest', String(newest));
  const tokens = await generate(cache, newest!, 25);
  cache.dispose();
  return tokens;
};

globalThis.restoreAndGoOn = async () => {
  const goOn = async (snapshot: Uint8Array | undefined) => {
    const cache = await KVCache.restore(snapshot!, model);
    const tokens = await generate(cache, Number(localStorage.getItem('newest')), 25);
    cache.dispose();
    return tokens;
  };
  return {
    indexedDb: await goOn(await stores.indexedDb.get(name)),
    opfs: await goOn(await stores.opfs.get(name)),
    unknown: await Promise.all(Object.values(stores).map(store => store.get('never-set'))),
  };
};

/** The most probable token, again and again, away from what came before so that texts do not circle. */
async function generate(cache: KVCache, first: number, count: number): Promise<number[]> {
  const tokens = [first];
  while (tokens.length <= count) {
    const next = tf.tidy(() => {
      const ids = tf.tensor2d([tokens.at(-1)!], [1, 1], 'int32');
      const logits = model.apply(ids, {cache, lastTokenOnly: true}) as tf.Tensor;
      const seen = tf.oneHot(tf.tensor1d(tokens.slice(-20), 'int32'), logits.size);
      return tf.argMax(tf.sub(tf.reshape(logits, [-1]), tf.mul(tf.sum(seen, 0), 100)));
    });
    tokens.push((await next.data())[0]!);
    next.dispose();
  }
  return tokens.slice(1);
}
