import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {append} from '../../../ops/append/index.js';
import {attend, type Partial} from '../../../ops/attention/attend/index.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {encodeFloat8} from '../../../ops/float8/index.js';
import {tensorsOf, type DenseEncoding} from '../../../ops/encodings/encoding.js';
import {gatherBlocks, gatherRows} from '../../../ops/gather_tokens/index.js';
import {hadamard} from '../../../ops/hadamard/index.js';
import {quantize} from '../../../ops/integer/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {randomLowRank, randomRotation, randomTokens, type TokenStorage} from '../../support/encodings.js';
import {expectAsOnCpu} from '../../support/on_both.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {skip} from '../../support/skip.js';
import {gpuDevice, withLimit} from '../../support/gpu_device.js';

// Tensors larger than what a shader binds. The driver's limit is 128 MiB or more; here it is made to look smaller.

/** Six key heads in two texts: a side takes up to 192 KiB, a head of it 32. */
const shape = {batch: 2, kvHeads: 3, tokens: 250, dim: 32};
const heads = shape.kvHeads * 2;
const queriesOf = (queryTokens: number) =>
  tf.tensor4d(randomFloats(9, shape.batch * heads * queryTokens * shape.dim), [
    ...([shape.batch, heads, queryTokens, shape.dim] as const),
  ]);

const storages: Record<string, TokenStorage> = {
  dense: {kind: 'dense'},
  int8: {kind: 'integer', bits: 8, groupAxis: 'channel', groupSize: 2, symmetric: false},
  int4: {kind: 'integer', bits: 4, groupAxis: 'token', groupSize: 8, symmetric: false},
  float8: {kind: 'float8', format: 'e4m3'},
};

const attended = (partial: Partial) => [mergePartials([partial]), partialLogSum([partial])];

describeOnBackends(
  'tensors larger than a binding',
  () => {
    // with 256 rows each head begins where a binding may begin; with 252 it does not, and is copied
    for (const capacity of [256, 252]) {
      for (const [name, storage] of Object.entries(storages)) {
        it(`are attended some heads at a time: ${name}, ${capacity} rows`, () =>
          expectAsOnCpu(
            () => ({
              queries: queriesOf(3),
              keys: randomTokens({...shape, capacity}, storage, 1),
              values: randomTokens({...shape, capacity}, storage, 2),
            }),
            ({queries, keys, values}) => {
              const options = {tokens: shape.tokens, scale: 0.2, firstQuery: shape.tokens - 3};
              const partial = withLimit(name === 'dense' ? 70_000 : 20_000, () =>
                attend(queries, keys, values, options),
              );
              const logSum = partialLogSum([partial]);
              const mass = withLimit(name === 'dense' ? 40_000 : 20_000, () =>
                attentionStatistics(queries, keys, logSum, {...options, statistic: 'mass'}),
              );
              return [...attended(partial), mass];
            },
            1e-5,
          ));
      }

      it(`are attended if keys are rebuilt and rotated, ${capacity} rows`, () =>
        expectAsOnCpu(
          () => ({
            queries: queriesOf(1),
            keys: {
              ...randomLowRank({...shape, capacity}, {rank: 8, mean: true, latents: {kind: 'dense'}}, 3),
              rotate: true as const,
            },
            values: randomTokens({...shape, capacity}, {kind: 'dense'}, 4),
            keyRotation: randomRotation(
              {...shape, capacity},
              {pairs: 16, interleaved: false, positions: 'rows'},
              5,
            ),
          }),
          ({queries, keys, values, keyRotation}) =>
            attended(
              withLimit(70_000, () =>
                attend(queries, keys, values, {tokens: shape.tokens, scale: 0.2, keyRotation}),
              ),
            ),
          1e-5,
        ));

      it(`are encoded, decoded and gathered, bit for bit, ${capacity} rows`, () =>
        expectAsOnCpu(
          () => tf.tensor4d(randomFloats(6, 6 * capacity * 32), [2, 3, capacity, 32]),
          x =>
            withLimit(70_000, () => {
              const layout = {
                dim: 32,
                bits: 8,
                groupAxis: 'channel',
                groupSize: 4,
                symmetric: false,
              } as const;
              const codes = quantize(x, layout);
              const float8 = encodeFloat8(x, {format: 'e5m2'});
              const kept = gatherRows(
                x,
                Int32Array.from({length: 6 * 5}, (_, i) => (i * 37) % capacity),
              );
              const decoded = [decodeEncoding(codes, 4, 240), decodeEncoding(float8, 1, 249)];
              return [codes.codes, codes.params, float8.codes, float8.scales, kept, ...decoded];
            }),
          0,
        ));
    }

    it('are read some texts at a time if heads lie side by side', () =>
      expectAsOnCpu(
        () => ({
          queries: queriesOf(3),
          keys: randomTokens({...shape, capacity: 256}, {kind: 'lloydMax', widths: [8, 3, 0, 5]}, 1),
          values: randomTokens({...shape, capacity: 256}, {kind: 'dense'}, 2),
        }),
        ({queries, keys, values}) => {
          const options = {tokens: shape.tokens, scale: 0.2, firstQuery: shape.tokens - 3};
          return withLimit(100_000, () => {
            const partial = attend(queries, keys, values, options);
            return [...attended(partial), decodeEncoding(keys, 3, 240)];
          });
        },
        1e-5,
      ));

    it('are gathered some texts at a time if heads lie side by side, bit for bit', () =>
      expectAsOnCpu(
        () => randomTokens({...shape, capacity: 256}, {kind: 'lloydMax', widths: [8, 3, 0, 5]}, 1),
        encoding => {
          const indices = Int32Array.from({length: 6 * 5}, (_, i) => (i * 7) % 16);
          const kept = withLimit(14_000, () => gatherBlocks(encoding, indices, 16));
          return Object.values(tensorsOf(kept)).map(({tensor}) => tensor);
        },
        0,
      ));

    it('are appended to in place, and grown, bit for bit', async () => {
      const numbers = (first: number, count: number) =>
        Int32Array.from({length: 6 * count * 5}, (_, i) => first + 20_000_001 * i);
      const given = (
        [
          [1, 40],
          [-7, 3],
          [5, 60],
        ] as const
      ).map(([first, count]) => ({
        ...{count, numbers: numbers(first, count)},
        rows: tf.tensor4d(numbers(first, count), [2, 3, count, 5], 'int32'),
      }));
      const parts = given.map(({rows}) => rows);
      const buffer = withLimit(4096, () => {
        const first = append(undefined, parts[0]!, 0, 45);
        const second = append(first, parts[1]!, 40, 45);
        expect(second).to.equal(first); // there was room
        const grown = append(second, parts[2]!, 43, 103);
        first.dispose();
        return grown;
      });
      const capacity = buffer.shape[2];
      expect(capacity).to.equal(128); // of 103, so that each head begins at a multiple of 256 bytes
      const all = await buffer.data<'int32'>();
      for (let head = 0; head < 6; head++) {
        const expected = given.flatMap(part =>
          Array.from(part.numbers.slice(head * part.count * 5, (head + 1) * part.count * 5)),
        );
        await expectClose(all.slice(head * capacity * 5, (head * capacity + 103) * 5), expected, 0);
      }
      tf.dispose([...parts, buffer]);
    });

    it('leave nothing behind', () =>
      expectNoLeak(() =>
        tf.tidy(() => {
          const side = (seed: number) => randomTokens({...shape, capacity: 252}, storages['int8']!, seed);
          const [keys, values] = [side(1), side(2)];
          return withLimit(20_000, () =>
            attend(queriesOf(1), keys, values, {tokens: shape.tokens, scale: 1}),
          );
        }),
      ));

    it('are refused, by ops of tfjs as well, if even one head is larger', () =>
      tf.tidy(() => {
        const data: tf.Tensor4D = tf.ones([1, 2, 100, 32]);
        const encoding: DenseEncoding = {kind: 'dense', dim: 32, data};
        withLimit(6400, () => {
          const refusal = /\[1, 1, 100, 32\] takes 1 MiB, and this GPU's driver binds at most 1 MiB/;
          expect(() => attend(tf.ones([1, 2, 1, 32]), encoding, encoding, {tokens: 100, scale: 1})).to.throw(
            InvalidArgumentError,
            refusal,
          );
          for (const run of [() => hadamard(data), () => tf.square(data), () => tf.sum(data, 2)]) {
            expect(run).to.throw(InvalidArgumentError, /keep fewer tokens, or store them in a smaller codec/);
          }
        });
      }));

    it('are attended at the real limit of the driver', async function () {
      const most = gpuDevice().limits.maxStorageBufferBindingSize;
      if (most > 2 ** 28)
        skip(this, `this driver binds ${most} bytes; only a small limit is worth a tensor of its size`);
      const kvHeads = 4;
      const tokens = Math.floor(most / (4 * kvHeads * 64)) + 64;
      // token t of head h has the key t % 7 and the value t % 5 + h in all channels
      const rows = (numberOf: (head: number, token: number) => number) => {
        const numbers = new Float32Array(kvHeads * tokens * 64);
        for (let row = 0; row < kvHeads * tokens; row++) {
          numbers.fill(numberOf(Math.floor(row / tokens), row % tokens), row * 64, (row + 1) * 64);
        }
        return tf.tensor4d(numbers, [1, kvHeads, tokens, 64]);
      };
      const encoding = (data: tf.Tensor4D): DenseEncoding => ({kind: 'dense', dim: 64, data});
      const result = tf.tidy(() => {
        const [keys, values] = [rows((_, t) => t % 7), rows((h, t) => (t % 5) + h)];
        const queries: tf.Tensor4D = tf.ones([1, kvHeads, 1, 64]);
        return mergePartials([attend(queries, encoding(keys), encoding(values), {tokens, scale: 1 / 64})]);
      });
      let [total, weights] = [0, 0];
      for (let t = 0; t < tokens; t++) {
        const weight = Math.exp(t % 7);
        total += weight * (t % 5);
        weights += weight;
      }
      const expected = Array.from({length: kvHeads * 64}, (_, i) => total / weights + Math.floor(i / 64));
      await expectClose(result, expected, 1e-4); // a million weights of up to e^6 are summed
      result.dispose();
    });
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
