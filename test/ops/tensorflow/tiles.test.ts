import * as tf from '@tensorflow/tfjs';
import {attend} from '../../../ops/attention/attend/index.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {encodeFloat8} from '../../../ops/float8/index.js';
import {quantize} from '../../../ops/integer/index.js';
import type {TokenEncoding} from '../../../ops/encodings/encoding.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {withReference} from '../../support/reference.js';
import {expectClose, randomTensor4d} from '../../support/tensors.js';

// More tokens than TensorFlow's ops read at a time, in buffers with spare capacity and without.

const [heads, kvHeads, dim] = [8, 4, 64];
const tokens = 9024; // of 256 numbers: two tiles of 2^21

const integer =
  (bits: 8 | 4, groupAxis: 'channel' | 'token') =>
  (x: tf.Tensor4D): TokenEncoding =>
    quantize(x, {dim, bits, groupAxis, groupSize: 64, symmetric: false});

const encodings: {readonly [name: string]: (x: tf.Tensor4D) => TokenEncoding} = {
  dense: data => ({kind: 'dense', dim, data}),
  '8 bits by channel': integer(8, 'channel'),
  '8 bits by token': integer(8, 'token'),
  '4 bits by channel': integer(4, 'channel'),
  '4 bits by token': integer(4, 'token'),
  float8: x => encodeFloat8(x, {format: 'e4m3'}),
};

describeOnBackends(
  'Long texts',
  () => {
    for (const [name, encode] of Object.entries(encodings)) {
      for (const [spare, unseen] of [
        [0, 0],
        [64, 3000],
      ] as const) {
        it(`of ${name}, ${spare} spare tokens, ${unseen} out of sight, are attended as the reference does`, async () => {
          const [output, expected, masses, expectedMasses] = tf.tidy(() => {
            const queries = randomTensor4d(1, 1, heads, 1, dim);
            const [keys, values] = [2, 3].map(seed =>
              encode(randomTensor4d(seed, 1, kvHeads, tokens + spare, dim)),
            ) as [TokenEncoding, TokenEncoding];
            const window = {positions: 0, size: tokens - unseen, firstQuery: tokens - 1};
            const options = {tokens, scale: dim ** -0.5, ...(unseen > 0 && {window})};
            const partial = () => attend(queries, keys, values, options);
            const logSum = partialLogSum([partial()]);
            const mass = () =>
              attentionStatistics(queries, keys, logSum, {statistic: 'mass', tokens, scale: dim ** -0.5});
            return [
              mergePartials([partial()]),
              mergePartials([withReference('Attend', partial)]),
              mass(),
              withReference('AttentionStatistics', mass),
            ];
          });
          await expectClose(output, expected, 1e-5);
          await expectClose(masses, expectedMasses, 1e-5);
          tf.dispose([output, expected, masses, expectedMasses]);
        });
      }
    }
  },
  testBackends.filter(backend => backend === 'tensorflow'),
);
