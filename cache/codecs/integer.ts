import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import type {Encoding, IntegerEncoding, LowRankEncoding} from '../../ops/encodings/encoding.js';
import {hadamard} from '../../ops/hadamard/index.js';
import {quantize} from '../../ops/integer/index.js';
import {project} from '../../ops/low_rank/index.js';
import type {Codec} from '../codec.js';
import {atLeast, checkOptions, oneOf} from '../../base/options.js';

const flag = v.boolean('expected true or false');
const schema = v.strictObject({
  bits: v.optional(oneOf(8, 4, 2), 8),
  groupAxis: v.optional(v.picklist(['channel', 'token'], 'expected "channel" or "token"'), 'token'),
  groupSize: v.optional(atLeast(1), 32),
  symmetric: v.optional(flag, false),
  center: v.optional(flag, false),
  rotate: v.optional(flag, false),
});

export type IntegerOptions = v.InferInput<typeof schema>;

/**
 * Integer codes of 8, 4 or 2 bits with a scale and a zero point per group (KIVI, Liu et al., 2024, arXiv 2402.02750).
 *
 * `groupAxis: 'channel'` groups `groupSize` consecutive tokens of one channel (KIVI's way for keys, whose outliers keep
 * to their channels), `'token'` groups consecutive channels of one token (its way for values). `symmetric` scales by the
 * largest magnitude, else by minimum and maximum. See `quantize` in ops/integer for the arithmetic.
 *
 * `center` takes the mean of the run's first tokens off before: attention's softmax does not see what all keys share, and
 * values get it back. `rotate` quantises in the basis of a Hadamard matrix, which spreads outliers over all channels
 * (QuaRot, Ashkboos et al., 2024, arXiv 2404.00456): it suits groups along tokens, and defeats those per channel.
 */
export function integer(options: IntegerOptions = {}): Codec {
  const checked = checkOptions('integer', schema, options);
  const {center, rotate, ...layout} = checked;
  const {bits, groupAxis, groupSize, symmetric} = layout;
  const plain = (x: tf.Tensor4D): IntegerEncoding => quantize(x, {...layout, dim: x.shape[3]});
  return {
    name: 'integer',
    options: checked,
    blockTokens: groupAxis === 'channel' ? groupSize : 1,
    sharedNumbers: dim => (center || rotate ? dim * dim : 0) + (center ? dim : 0),
    encode: (x, like) => (center || rotate ? turned(x, like, checked, plain) : plain(x)),
    errorBound: x =>
      tf.tidy(() => {
        const {basis, mean} = turnOf(x, checked);
        const codes = center || rotate ? project(mean ? tf.sub(x, mean) : x, basis) : x;
        const halfStep = tf.mul(largestStep(codes, bits, symmetric), 0.5);
        return rotate ? tf.mul(halfStep, Math.sqrt(x.shape[3])) : halfStep; // a turn adds up the errors of all channels
      }),
  };
}

/** Codes of `(x - mean) B^T` for a square basis B: as attention meets it, a low-rank encoding that drops no rank. */
function turned(
  x: tf.Tensor4D,
  like: Encoding | undefined,
  options: {center: boolean; rotate: boolean},
  encode: (x: tf.Tensor4D) => IntegerEncoding,
): LowRankEncoding {
  const {basis, mean} = like?.kind === 'lowRank' ? like : turnOf(x, options);
  const dim = x.shape[3];
  return {
    kind: 'lowRank',
    dim,
    rank: dim,
    latents: encode(project(mean ? tf.sub(x, mean) : x, basis)),
    basis,
    mean,
  };
}

/** The mean of these tokens, where it is wanted, and a Hadamard matrix or the identity for each head. */
function turnOf(
  x: tf.Tensor4D,
  {center, rotate}: {center: boolean; rotate: boolean},
): Pick<LowRankEncoding, 'basis' | 'mean'> {
  const [batch, kvHeads, , dim] = x.shape;
  const turns = rotate && dim % 2 === 0; // a Hadamard matrix of an odd size is that of size 1
  const matrix = turns ? hadamard(tf.eye(dim)) : tf.eye(dim);
  const basis: tf.Tensor4D = tf.tile(tf.reshape(matrix, [1, 1, dim, dim]), [batch, kvHeads, 1, 1]);
  return center ? {basis, mean: tf.mean<tf.Tensor4D>(x, 2, true)} : {basis};
}

/** An upper bound of the scales of all groups: scales are rounded up to bfloat16, by 2^-7 at most. */
function largestStep(x: tf.Tensor4D, bits: number, symmetric: boolean): tf.Tensor {
  const largest = tf.max(tf.abs(x));
  const range = symmetric
    ? tf.div(largest, 2 ** (bits - 1) - 1)
    : tf.maximum(tf.div(tf.sub(tf.max(x), tf.min(x)), 2 ** bits - 1), tf.div(largest, 32767));
  return tf.mul(range, 1 + 2 ** -7);
}
