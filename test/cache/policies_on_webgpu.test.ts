import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {BackendError} from '../../base/errors.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {expectClose} from '../support/tensors.js';
import {randomProfileId} from '../support/transform_profile.js';
import {rejection} from '../base/files/rejection.js';
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

/** The error of a trial decides what is stored. */
const readsAtOnce = new Set(['adaptive']);

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

describeOnBackends(
  'policies',
  backend => {
    for (const variant of [...policyVariants, ...ofKeepers]) {
      if (readsAtOnce.has(variant.name)) {
        it(`say that they need a synchronous backend: ${variantName(variant)}`, async () => {
          // more tokens: the first ones stay exact until a basis pays
          await rejection(
            outputs(variant, [...fewTokens, 40]),
            BackendError,
            /synchronously, which webgpu cannot do/,
          );
        });
        continue;
      }
      it(`compute the same as on wasm: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const chunks = foldsTokens.has(variant.name) ? moreTokens : fewTokens;
        const expected = await outputs(variant, chunks);
        await useBackend(backend);
        await expectClose(await outputs(variant, chunks), expected, 2e-5);
      });
    }
    for (const variant of [...policyVariants, ...ofKeepers]) {
      if (readsAtOnce.has(variant.name)) continue;
      it(`compute the same as on wasm within a window: ${variantName(variant)}`, async () => {
        await useBackend('wasm');
        const expected = await outputs(variant, fewTokens, 10);
        await useBackend(backend);
        await expectClose(await outputs(variant, fewTokens, 10), expected, 2e-5);
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
