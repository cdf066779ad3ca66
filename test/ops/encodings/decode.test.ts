import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {decodeEncoding, floatBasis} from '../../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {
  disposeEncoding,
  lowRankStorages,
  randomLowRank,
  randomTokens,
  tokenStorages,
} from '../../support/encodings.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

describeOnBackends(
  'decodeEncoding',
  () => {
    const cases = fc.record({
      batch: fc.integer({min: 1, max: 2}),
      kvHeads: fc.integer({min: 1, max: 3}),
      tokens: fc.integer({min: 1, max: 12}),
      spare: fc.integer({min: 0, max: 3}),
      dim: fc.integer({min: 1, max: 34}),
      from: fc.nat(11),
      count: fc.nat(12),
      seed: fc.integer(),
    });

    it('gives any run of tokens of any encoding as it stands in the whole', () =>
      fc.assert(
        fc.asyncProperty(
          cases,
          tokenStorages,
          async ({batch, kvHeads, tokens, spare, dim, from, count, seed}, storage) => {
            const encoding = randomTokens(
              {batch, kvHeads, tokens, capacity: tokens + spare, dim},
              storage,
              seed,
            );
            const first = Math.min(from, tokens);
            const length = Math.min(count, tokens - first);
            const whole = decodeEncoding(encoding, 0, tokens);
            const part = decodeEncoding(encoding, first, length);
            const expected = tf.slice(whole, [0, 0, first, 0], [-1, -1, length, -1]);
            expect(part.shape).to.deep.equal([batch, kvHeads, length, dim]);
            await expectClose(part, expected, 0);
            tf.dispose([whole, part, expected]);
            disposeEncoding(encoding);
          },
        ),
        {numRuns: 40},
      ));

    it('rebuilds low-rank tokens: latents . basis + mean, head by head', () =>
      fc.assert(
        fc.asyncProperty(
          cases,
          lowRankStorages,
          async ({batch, kvHeads, tokens, spare, dim, seed}, storage) => {
            const shape = {batch, kvHeads, tokens, capacity: tokens + spare, dim};
            const encoding = randomLowRank(shape, storage, seed);
            const [whole, latents] = [
              decodeEncoding(encoding, 0, tokens),
              decodeEncoding(encoding.latents, 0, tokens),
            ];
            const [z, basis, mean] = [
              await latents.data(),
              await floatBasis(encoding.basis).data(),
              await encoding.mean?.data(),
            ];
            const {rank} = encoding;
            const expected = Float64Array.from({length: batch * kvHeads * tokens * dim}, (_, at) => {
              const [row, i] = [Math.floor(at / dim), at % dim];
              const head = Math.floor(row / tokens);
              let sum = mean?.[head * dim + i] ?? 0;
              for (let r = 0; r < rank; r++) sum += z[row * rank + r]! * basis[(head * rank + r) * dim + i]!;
              return sum;
            });
            await expectClose(whole, expected, 5e-6);
            tf.dispose([whole, latents]);
            disposeEncoding(encoding);
          },
        ),
        {numRuns: 40},
      ));

    it('leaks nothing', async () => {
      const shape = {batch: 1, kvHeads: 2, tokens: 5, capacity: 6, dim: 8};
      const encoding = randomLowRank(
        shape,
        {rank: 3, mean: true, latents: {kind: 'float8', format: 'e4m3'}},
        1,
      );
      await expectNoLeak(() => decodeEncoding(encoding, 1, 3));
      disposeEncoding(encoding);
    });

    it('refuses tokens that are not there', () => {
      const encoding: Encoding = {kind: 'dense', dim: 3, data: tf.ones([1, 1, 4, 3])};
      for (const [from, count] of [
        [0, 5],
        [4, 1],
        [-1, 2],
        [0, 1.5],
        [0, -1],
      ] as const) {
        expect(() => decodeEncoding(encoding, from, count), `${from}, ${count}`).to.throw(
          InvalidArgumentError,
          "encoding's 4",
        );
      }
      disposeEncoding(encoding);
    });
  },
  testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl'), // no exact 32-bit integers there
);
