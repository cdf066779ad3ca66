import type {Spec} from '../../base/options.js';
import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {uniform} from '../../cache/plans/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {policyVariants, variantName} from './variants.js';
import {skip} from '../support/skip.js';

const [batch, heads, kvHeads, dim, rank, tokens] = [2, 6, 2, 16, 6, 40];

const random = (shape: [number, number, number, number], seed: number) =>
  tf.randomNormal<tf.Rank.R4>(shape, 0, 1, 'float32', seed);

/** Latent keys with their basis and mean, and the same keys rebuilt. */
function text() {
  return tf.tidy(() => {
    const latents = random([batch, kvHeads, tokens, rank], 1);
    const keyBasis = tf.randomNormal<tf.Rank.R3>([kvHeads, rank, dim], 0, 0.4, 'float32', 2);
    const keyMean = tf.randomNormal<tf.Rank.R2>([kvHeads, dim], 0, 0.3, 'float32', 3);
    const rebuilt = tf.add<tf.Tensor4D>(
      tf.matMul(latents, tf.tile(tf.expandDims(keyBasis, 0), [batch, 1, 1, 1])),
      tf.reshape(keyMean, [1, kvHeads, 1, dim]),
    );
    return {
      queries: random([batch, heads, tokens, dim], 4),
      latents,
      rebuilt,
      values: random([batch, kvHeads, tokens, dim], 5),
      keyBasis,
      keyMean,
    };
  });
}

const latentShape = {depth: 0, heads, kvHeads, dim: rank, dimV: dim, headDim: dim};
const denseRow = {depth: 0, heads, kvHeads, dim, dimV: dim};
const chunks = [9, 1, 1, 1, 12, ...Array.from({length: 16}, () => 1)];

/** A text through a cache in chunks, as latents or as the keys that they stand for. */
function run(cache: KVCache, all: ReturnType<typeof text>, asLatents: boolean, rope?: {theta: number}) {
  return tf.tidy(() => {
    let from = 0;
    const cut = (x: tf.Tensor4D, count: number) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
    const outputs = chunks.map(count => {
      const fresh = {queries: cut(all.queries, count), values: cut(all.values, count), rope};
      const {keyBasis, keyMean} = all;
      const output = asLatents
        ? cache.attend(0, {...fresh, keys: cut(all.latents, count), keyBasis, keyMean})
        : cache.attend(0, {...fresh, keys: cut(all.rebuilt, count)});
      from += count;
      return output;
    });
    return tf.concat(outputs, 2);
  });
}

// policies that lose nothing of what they keep: whatever the keys lie as, the outputs are the same
const lossless: readonly Required<Spec>[] = [
  {name: 'full', options: {}},
  {name: 'sliding', options: {window: 12, sinks: 3}},
  {name: 'h2o', options: {heavyBudget: 8, recentBudget: 6, sinks: 2}},
  {name: 'lru', options: {maxCacheSize: 14}},
  {name: 'lfu', options: {maxCacheSize: 14, threshold: 0.1}},
  {name: 'onlineSvd', options: {rank: 6, updateFreq: 4}},
  {name: 'layered', options: {shortTermSize: 8, longTermRank: 6}},
];

for (const [name, rope] of Object.entries({'without rotation': undefined, rotated: {theta: 100}})) {
  describeOnBackends(`keys that come as latents, ${name}`, backend => {
    let all: ReturnType<typeof text>;
    before(() => {
      all = text();
    });
    after(() => tf.dispose(all));

    for (const spec of lossless) {
      it(`${spec.name}: equals attention over rebuilt keys`, async () => {
        // low rank loses nothing of latents of that rank; dense keys, which have a mean too, would need more
        const isLowRank = 'rank' in spec.options || 'longTermRank' in spec.options;
        const latentCache = new KVCache([latentShape], spec);
        const denseCache = new KVCache([denseRow], isLowRank ? {name: 'full'} : spec);
        const values = isLowRank ? tf.tidy(() => ofRankOne(all.values)) : all.values.clone();
        const actual = run(latentCache, {...all, values}, true, rope);
        const expected = run(denseCache, {...all, values}, false, rope);
        await expectClose(actual, expected, 1e-4);
        tf.dispose([actual, expected, values]);
        latentCache.dispose();
        denseCache.dispose();
      });
    }

    it('are stored by every policy within its budget, without leaks', async function () {
      if (backend === 'cpu') skip(this, 'four seconds on cpu, of nothing but references that others test');
      for (const variant of policyVariants) {
        const policy = makePolicy(withinRank(variant));
        await expectNoLeak(() => {
          const cache = new KVCache([latentShape], policy);
          const output = run(cache, all, true, rope);
          expect(output.shape, variantName(variant)).to.deep.equal([batch, heads, tokens, dim]);
          output.dispose();
          cache.dispose();
        });
      }
    });

    it('stay latents in a change of plan', async () => {
      const cache = new KVCache([latentShape], uniform({name: 'quantized', options: {residual: 0}}));
      run(cache, all, true, rope).dispose();
      await cache.setPlan({name: 'full'});
      const {keys, tokens: held} = cache.past(0)!.recent;
      expect(held).to.equal(tokens);
      const stored = tf.tidy(() => tf.slice(keys.data, [0, 0, 0, 0], [-1, -1, tokens, -1]));
      await expectClose(stored, all.latents, 0.03);
      stored.dispose();
      cache.dispose();
    });
  });
}

/** Values that no low rank loses anything of. */
function ofRankOne(values: tf.Tensor4D): tf.Tensor4D {
  return tf.mul(tf.mean(values, 3, true), tf.ones([dim]));
}

/** Ranks of the contract's variants, made for heads of 16, cut to the latents'. */
function withinRank({name, options = {}}: Spec): Spec {
  const cut = (option: string) =>
    typeof options[option] === 'number' ? {[option]: Math.min(options[option], rank)} : {};
  return {name, options: {...options, ...cut('rank'), ...cut('longTermRank')}};
}

describe('latent keys in a cache', () => {
  it('are compared with uncompressed heads, and refused if shapes do not fit', () => {
    tf.tidy(() => {
      const cache = new KVCache([latentShape]);
      const all = text();
      run(cache, all, true).dispose();
      const [report] = cache.report();
      expect(report!.float32Bytes).to.equal(batch * kvHeads * 2 * dim * tokens * 4);
      expect(report!.byteSize).to.be.below(report!.float32Bytes);
      const fresh = {queries: all.queries, keys: all.latents, values: all.values};
      const wrong = tf.zeros<tf.Rank.R3>([kvHeads, rank, dim + 1]);
      expect(() => cache.attend(0, {...fresh, keyBasis: wrong})).to.throw(InvalidArgumentError, /keyBasis/);
      expect(() => cache.attend(0, fresh)).to.throw(InvalidArgumentError, /queries/);
      cache.dispose();
    });
  });

  it('have the policy that their layer asks for if no plan is given', () => {
    const layerShape = {...latentShape, policy: {name: 'quantized', options: {bits: 4}}};
    expect(new KVCache([layerShape]).report()[0]!.policy).to.equal('quantized');
    expect(new KVCache([layerShape], {name: 'full'}).report()[0]!.policy).to.equal('full');
  });
});
