import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {expectSameBytes} from '../support/same_bytes.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {randomProfileId} from '../support/transform_profile.js';
import {policyVariants, variantName} from './variants.js';
import type {Spec} from '../../base/options.js';

type Variant = Pick<Spec, 'name' | 'options'>;

// The contract test reads at once, which webgpu cannot: here every policy answers there as it does on wasm.

/** Keepers that are no presets. */
const ofKeepers: readonly Variant[] = [
  {name: 'tova', options: {budget: 12, recent: 4}},
  {name: 'snapKv', options: {budget: 12, recent: 6, queries: 6}},
  {name: 'dropKv', options: {budget: 12, recent: 6, queries: 6, store: {bits: 8, groupSize: 8}}},
  {name: 'keyDiff', options: {budget: 12, recent: 4}},
  {name: 'expectedAttention', options: {budget: 12, recent: 6, queries: 6}},
];

const profile = randomProfileId({depths: 1, kvHeads: 2, dim: 16, rope: {theta: 100}});
/** With the tables of a profile: tokens of one number of bits, of two by age, and of levels under a budget that is full. */
const ofProfiles: readonly Variant[] = [
  {name: 'transform', options: {bits: 4, profile}},
  {name: 'transform', options: {bits: 2, near: 32, profile}},
  {name: 'mixed', options: {bits: '6/4/2', near: 16, budget: '2600B', profile}},
];

/** Numbers decide what is stored. Where they come late, it is stored a step later. */
const decidesLate = new Set(['adaptive']);
/** Of the two texts, one needs more bits in most blocks. */
const ofTexts = {name: 'adaptive', options: {tolerance: 0.025, residual: 4, groupSize: 4}};
const ofEnergy = {name: 'policy', options: {recent: 4, store: {name: 'lowRank', options: {energy: 0.5}}}};

/** First tokens stay exact until a basis pays. */
const foldsTokens = new Set(['onlineSvd', 'layered']);

const shape = {batch: 2, heads: 6, kvHeads: 2, dim: 16};
const fewTokens = [24, 1, 1, 9, 1];
const moreTokens = [24, 30, 1, 16, 16, 1];

/** Outputs of a text that goes through one depth, chunk by chunk. */
async function outputs(variant: Variant, chunks: readonly number[], window?: number): Promise<Float32Array> {
  const {batch, heads, kvHeads, dim} = shape;
  const tokens = chunks.reduce((a, b) => a + b, 0);
  const cache = new KVCache([{depth: 0, heads, kvHeads, dim, dimV: dim}], makePolicy(variant));
  const side = (seed: number, of: number) =>
    tf.tensor4d(randomFloats(seed, batch * of * tokens * dim), [batch, of, tokens, dim]);
  const joined = tf.tidy(() => {
    const text = {queries: side(1, heads), keys: side(2, kvHeads), values: side(3, kvHeads)};
    let from = 0;
    return tf.concat(
      chunks.map(count => {
        const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
        const part = {queries: cut(text.queries), keys: cut(text.keys), values: cut(text.values)};
        from += count;
        return cache.attend(0, {...part, rope: {theta: 100}, window});
      }),
      2,
    );
  });
  const numbers = await joined.data<'float32'>();
  cache.dispose();
  joined.dispose();
  return numbers;
}

const layerShape = {depth: 0, heads: shape.heads, kvHeads: shape.kvHeads, dim: shape.dim, dimV: shape.dim};

/** A text that goes through one depth token by token; each step's output is awaited, as generating awaits logits. */
function begun(variant: Variant, cache = new KVCache([layerShape], makePolicy(variant))) {
  const {batch, heads, kvHeads, dim} = shape;
  // one text has small queries, so that its attention hardly depends on keys: it needs fewer bits
  const side = (seed: number, of: number) =>
    tf.tensor4d(
      randomFloats(seed, batch * of * dim).map((x, i) => (i < of * dim && of === heads ? x / 100 : x)),
      [batch, of, 1, dim],
    );
  const step = async (at: number): Promise<Float32Array> => {
    const output = tf.tidy(() =>
      cache.attend(0, {
        ...{queries: side(3 * at, heads), keys: side(3 * at + 1, kvHeads), values: side(3 * at + 2, kvHeads)},
        rope: {theta: 100},
      }),
    );
    const numbers = await output.data<'float32'>();
    output.dispose();
    return numbers;
  };
  return {cache, step};
}

/** What each of some steps gives and holds. */
async function steps(variant: Variant) {
  const {cache, step} = begun(variant);
  const seen = [];
  for (let at = 0; at < 75; at++) {
    const output = await step(at);
    const {held, undecided} = cache.past(0)!;
    const tokens = Object.entries(held).map(([name, {tokens}]) => [name, tokens]);
    seen.push({output, held: Object.fromEntries(tokens) as object, waits: undecided !== undefined});
  }
  cache.dispose();
  return seen;
}

describeOnBackends(
  'policies',
  backend => {
    for (const variant of [...policyVariants, ...ofKeepers]) {
      if (decidesLate.has(variant.name)) continue;
      it(`compute the same as on wasm: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const chunks = foldsTokens.has(variant.name) ? moreTokens : fewTokens;
        const expected = await outputs(variant, chunks);
        await useBackend(backend);
        await expectClose(await outputs(variant, chunks), expected, 2e-5);
      });
    }
    for (const variant of [...policyVariants, ...ofKeepers]) {
      if (decidesLate.has(variant.name)) continue;
      it(`compute the same as on wasm within a window: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const expected = await outputs(variant, fewTokens, 10);
        await useBackend(backend);
        await expectClose(await outputs(variant, fewTokens, 10), expected, 2e-5);
      });
    }
    for (const variant of [...policyVariants.filter(({name}) => decidesLate.has(name)), ofTexts, ofEnergy]) {
      it(`decide as on wasm, a step later: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const expected = await steps(variant);
        await useBackend(backend);
        const actual = await steps(variant);
        let decided = 0;
        for (const [at, {output, held, waits}] of actual.entries()) {
          // the step after a block was stored on wasm still reads it exact
          if (actual[at - 1]?.waits !== true)
            await expectClose(output, expected[at]!.output, 2e-5, `step ${at}`);
          if (!waits) expect(held, `after step ${at}`).to.deep.equal(expected[at]!.held);
          if (waits) decided += 1;
        }
        expect(decided).to.be.above(0);
        expect(expected.some(({waits}) => waits)).to.equal(false);
      });

      it(`go on by what was asked for after save and restore: ${variantName(variant)}`, async () => {
        const {cache, step} = begun(variant);
        let at = 0;
        do await step(at++);
        while (cache.past(0)!.undecided === undefined);
        const restored = begun(variant, await KVCache.restore(await cache.save(), [layerShape]));
        for (const end = at + 3; at < end; at++) {
          await expectClose(await restored.step(at), await step(at), 0, `step ${at}`);
          expectSameBytes(await restored.cache.save(), await cache.save());
        }
        expect(cache.past(0)!.undecided).to.equal(undefined);
        cache.dispose();
        restored.cache.dispose();
      });

      it(`leak nothing while numbers come: ${variantName(variant)}`, async () => {
        await expectNoLeak(async () => {
          const {cache, step} = begun(variant);
          let at = 0;
          do await step(at++);
          while (cache.past(0)!.undecided === undefined);
          await cache.truncate(at - 1);
          expect(cache.past(0)!.undecided).to.equal(undefined);
          cache.dispose();
        });
      });
    }
    for (const variant of ofProfiles) {
      it(`compute the same as on wasm by a profile: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const expected = await outputs(variant, moreTokens);
        await useBackend(backend);
        await expectClose(await outputs(variant, moreTokens), expected, 2e-5);
      });
    }
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
