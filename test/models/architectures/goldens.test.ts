import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/index.js';
import type {Spec} from '../../../base/options.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectNoLeak} from '../../support/tensors.js';
import {shippedPolicies} from '../../cache/variants.js';
import {
  distance,
  goldenFiles,
  goldenModel,
  goldenModels,
  goldenOf,
  tolerance,
  worst,
} from './golden_models.js';
import {logitsOf} from './tiny_models.js';

/** The logits of a text that a cache takes in, first `first` tokens and then one at a time. */
async function inSteps(
  model: Awaited<ReturnType<typeof goldenModel>>['model'],
  ids: readonly number[],
  policy: Spec,
  first = 5,
): Promise<number[]> {
  const cache = new KVCache(model, policy, {onWarning: () => undefined});
  const logits: number[] = [];
  for (const chunk of [ids.slice(0, first), ...ids.slice(first).map(id => [id])]) {
    logits.push(...Array.from(await logitsOf(model, chunk, {cache})));
  }
  cache.dispose();
  return logits;
}

describeOnBackends('models of every architecture', () => {
  for (const name of goldenModels) {
    it(`${name}: logits of transformers, at once and token by token`, async () => {
      const {ids, logits} = await goldenOf(name);
      for (const file of goldenFiles(name)) {
        const {model} = await goldenModel(name, file);
        expect(worst(await logitsOf(model, ids), logits.data), `${file}, at once`).to.be.below(tolerance);
        const stepped = await inSteps(model, ids, {name: 'full'});
        expect(worst(stepped, logits.data), `${file}, in steps`).to.be.below(tolerance);
        model.dispose();
      }
    });
  }

  it('leave no tensor behind', async () => {
    for (const name of ['gemma3', 'phi', 'olmo2', 'bloom', 'ministral3']) {
      const {ids} = await goldenOf(name);
      await expectNoLeak(async () => {
        const {model} = await goldenModel(name);
        await inSteps(model, ids, {name: 'quantized', options: {groupSize: 2, residual: 3}}, 28);
        model.dispose();
      });
    }
  });
});

describe('caches of every architecture', () => {
  before(() => useBackend('wasm'));

  // how far logits of these random weights may go, where nothing is redundant; text of 32 tokens, heads of 4 to 12 numbers
  const policies: Record<string, [options: Spec['options'], bound: number]> = {
    adaptive: [{tolerance: 0.3, residual: 4, groupSize: 4}, 0.3],
    float8: [{residual: 4}, 0.05],
    full: [{}, 1e-5],
    h2o: [{heavyBudget: 10, recentBudget: 8, sinks: 2}, 0.8],
    layered: [{shortTermSize: 8, longTermBits: 8}, 0.05],
    lfu: [{maxCacheSize: 18, threshold: 0.1}, 1],
    lru: [{maxCacheSize: 18}, 0.9],
    mixed: [{budget: '8kB', bits: '6/3', near: 0}, 0.5],
    onlineSvd: [{rank: 3, updateFreq: 4}, 1.2],
    quantized: [{groupSize: 4, residual: 4}, 0.02],
    sliding: [{window: 16, sinks: 3}, 0.9],
    transform: [{bits: 6}, 0.3],
  };

  it('have an entry here for each policy', () => {
    expect(Object.keys(policies)).to.deep.equal(shippedPolicies());
  });

  for (const name of goldenModels) {
    it(`${name}: every policy stores its tokens`, async () => {
      const {ids, logits} = await goldenOf(name);
      const {model} = await goldenModel(name);
      for (const [policy, [options, bound]] of Object.entries(policies)) {
        const stepped = await inSteps(model, ids, {name: policy, options});
        expect(distance(stepped, logits.data), policy).to.be.below(bound);
      }
      model.dispose();
    });
  }
});

describe('snapshots and forks of every architecture', () => {
  before(() => useBackend('wasm'));

  for (const name of goldenModels) {
    it(`${name} continues from them as from the cache`, async () => {
      const {ids} = await goldenOf(name);
      const {model} = await goldenModel(name);
      const cache = new KVCache(model, {name: 'quantized', options: {groupSize: 2, residual: 4}});
      await logitsOf(model, ids.slice(0, 20), {cache});
      const fork = cache.fork();
      const restored = await KVCache.restore(await cache.save(), {model});
      const rest = ids.slice(20);
      const expected = await logitsOf(model, rest, {cache});
      for (const other of [fork, restored]) {
        expect(await logitsOf(model, rest, {cache: other})).to.deep.equal(expected);
        other.dispose();
      }
      cache.dispose();
      model.dispose();
    });
  }
});

describe('models of every architecture as tf.LayersModel', () => {
  before(() => useBackend('wasm'));

  for (const name of goldenModels) {
    it(`${name} is the same after save and load, and learns by fit`, async () => {
      const {ids, logits} = await goldenOf(name);
      const {model} = await goldenModel(name);
      let artifacts: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(saved => {
          artifacts = saved;
          return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
        }),
      );
      model.dispose();
      const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts!));
      expect(worst(await logitsOf(loaded, ids), logits.data)).to.be.below(tolerance);
      const loss = (labels: tf.Tensor, output: tf.Tensor) => tf.losses.softmaxCrossEntropy(labels, output);
      loaded.compile({optimizer: tf.train.adam(0.01), loss});
      const texts = tf.tensor2d([...ids], [2, ids.length / 2], 'int32');
      const next = tf.oneHot(texts, logits.shape[1]); // each token is to say itself
      const {history} = await loaded.fit(texts, next, {epochs: 4, shuffle: false});
      const losses = history['loss'] as number[];
      expect(losses.at(-1), losses.join()).to.be.below(0.9 * losses[0]!);
      tf.dispose([texts, next]);
      loaded.dispose();
    });
  }
});
