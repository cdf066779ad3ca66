import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, makeCodec, makePolicy} from '../../cache/index.js';
import {attend} from '../../ops/attention/attend/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {attentionOracle} from '../support/attention_oracle.js';
import {describeOnBackends} from '../support/backends.js';
import {extremes} from '../support/extremes.js';
import {randomFloats} from '../support/random.js';
import {codecVariants, shippedPolicies, variantName} from './variants.js';

// Numbers at which storing and attending go wrong when they are computed naively, for every codec of the registry
// (codec_contract.test.ts sees that none is missing): errors are counted in float64. docs/RELIABILITY.md states the bounds.

const dim = 16;

/** Rounding of the arithmetic beside the codec's own error: relative to the largest number, and where numbers are denormal. */
const rounding = (largest: number): number => 1e-6 * largest + 2 ** -120;

for (const variant of codecVariants) {
  describeOnBackends(`codec ${variantName(variant)} at the extremes`, () => {
    const codec = makeCodec(variant);
    const tokens = 2 * codec.blockTokens;
    const numbersOf = (make: (typeof extremes)[string], seed: number): Float32Array =>
      randomFloats(seed, tokens * dim).map((random, i) => make(Math.floor(i / dim), i % dim, random));

    it('keeps its error bound', () => {
      for (const [name, make] of Object.entries(extremes)) {
        const numbers = numbersOf(make, 3);
        const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        tf.tidy(() => {
          const x = tf.tensor4d(numbers, [1, 1, tokens, dim]);
          const decoded = decodeEncoding(codec.encode(x), 0, tokens).dataSync();
          const bound = tf.broadcastTo(codec.errorBound(x), x.shape).dataSync();
          for (let i = 0; i < numbers.length; i++) {
            const error = Math.abs(decoded[i]! - numbers[i]!);
            const allowed = bound[i]! + rounding(largest);
            if (!(error <= allowed)) {
              expect.fail(`${name}: ${numbers[i]!} became ${decoded[i]!}, beyond ${allowed}`);
            }
          }
        });
      }
    });

    it('is attended as float64 attends what it decodes to', () => {
      for (const [name, make] of Object.entries(extremes)) {
        const [keys, values] = [numbersOf(make, 4), numbersOf(make, 5)];
        const largest = keys.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
        // queries of such a size that scores are of a few units
        const queries = randomFloats(6, 2 * dim).map(x => x / largest);
        tf.tidy(() => {
          const encodings = [keys, values].map(side => codec.encode(tf.tensor4d(side, [1, 1, tokens, dim])));
          const output = mergePartials([
            attend(tf.tensor4d(queries, [1, 2, 1, dim]), encodings[0]!, encodings[1]!, {tokens, scale: 1}),
          ]).dataSync();
          const decoded = encodings.map(encoding =>
            decodeEncoding(encoding, 0, tokens).dataSync<'float32'>(),
          );
          const {output: expected} = attentionOracle({
            ...{
              batch: 1,
              heads: 2,
              kvHeads: 1,
              queryTokens: 1,
              capacity: tokens,
              tokens,
              dim,
              dimV: dim,
              scale: 1,
            },
            ...{queries, keys: decoded[0]!, values: decoded[1]!},
          });
          const largestValue = decoded[1]!.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
          for (let i = 0; i < expected.length; i++) {
            const error = Math.abs(output[i]! - expected[i]!);
            if (!(error <= 2e-5 * largestValue + 2 ** -120)) {
              expect.fail(
                `${name}: ${output[i]!}; in float64 ${expected[i]!}, of values up to ${largestValue}`,
              );
            }
          }
        });
      }
    });
  });
}

describeOnBackends('numbers that are none', () => {
  const row = {depth: 0, heads: 2, kvHeads: 1, dim: 8, dimV: 8};
  const fresh = (bad?: 'queries' | 'keys' | 'values', number = 0) => {
    const side = (name: string, heads: number) => {
      const numbers = randomFloats(heads, heads * 4 * row.dim);
      if (name === bad) numbers[5] = number;
      return tf.tensor4d(numbers, [1, heads, 4, row.dim]);
    };
    return {queries: side('queries', 2), keys: side('keys', 1), values: side('values', 1)};
  };

  for (const name of shippedPolicies()) {
    it(`are refused by ${name}, which stays as it was`, () => {
      const cache = new KVCache([row], makePolicy({name}));
      tf.tidy(() => void cache.attend(0, fresh()));
      const before = tf.memory().numTensors;
      for (const bad of ['queries', 'keys', 'values'] as const) {
        for (const number of [NaN, Infinity, -Infinity]) {
          expect(() => tf.tidy(() => cache.attend(0, fresh(bad, number))), `${number} in ${bad}`).to.throw(
            InvalidArgumentError,
            /NaN or infinity/,
          );
        }
      }
      expect(cache.tokens).to.equal(4);
      expect(tf.memory().numTensors).to.equal(before);
      const output = tf.tidy(() => cache.attend(0, fresh()));
      expect([...output.dataSync()].every(Number.isFinite)).to.be.true;
      output.dispose();
      cache.dispose();
    });
  }
});
