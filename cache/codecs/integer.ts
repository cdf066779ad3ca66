import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {sharedBasis} from '../../ops/encodings/decode.js';
import type {Encoding, IntegerEncoding, LowRankEncoding} from '../../ops/encodings/encoding.js';
import {integerBits, type IntegerBits} from '../../ops/encodings/integer.js';
import {hadamard} from '../../ops/hadamard/index.js';
import {quantize} from '../../ops/integer/index.js';
import {project} from '../../ops/low_rank/index.js';
import {type Factory, atLeast, defineFactory, flag} from '../../base/options.js';
import type {Codec} from '../contract.js';

export interface IntegerOptions {
  /** Bits per code: 2, 3, 4, 5, 6 or 8. Default 8. */
  readonly bits?: IntegerBits;
  /**
   * Which numbers share a scale and a zero point. `'channel'`: `groupSize` consecutive tokens of one channel, as KIVI does for keys,
   * whose outliers stay in the same channels. `'token'`: `groupSize` consecutive channels of one token, as KIVI does for values.
   * Default `'token'`.
   */
  readonly groupAxis?: 'channel' | 'token';
  /** How many numbers share a scale, at most 1,024. Default 32. */
  readonly groupSize?: number;
  /** Scale by the largest magnitude instead of by minimum and maximum. Default false. */
  readonly symmetric?: boolean;
  /**
   * Subtract the mean of the run's first tokens before quantisation; attention and decoding add it back. This narrows the range of
   * the codes. Default false.
   */
  readonly center?: boolean;
  /**
   * Quantise in the basis of a Hadamard matrix, which spreads outliers over all channels (QuaRot, Ashkboos et al., 2024, arXiv
   * 2404.00456). Use it with `groupAxis: 'token'`: per-channel groups rely on outliers that stay in their channels. Default false.
   */
  readonly rotate?: boolean;
}

/**
 * How many numbers may share a scale. With `groupAxis: 'channel'`, as many tokens wait as float32 until a group is full, so a group
 * as long as the text would never be compressed. From 1,024 numbers on, scale and zero point add less than 2 % to codes of 2 bits.
 */
export const groupSizes = v.pipe(atLeast(1), v.maxValue(1024, 'expected a whole number from 1 to 1024'));

const entries = {
  bits: v.optional(integerBits, 8),
  groupAxis: v.optional(v.picklist(['channel', 'token'], 'expected "channel" or "token"'), 'token'),
  groupSize: v.optional(groupSizes, 32),
  symmetric: v.optional(flag, false),
  center: v.optional(flag, false),
  rotate: v.optional(flag, false),
};

/**
 * Integer codes of 2 to 8 bits with a scale and a zero point per group (KIVI, Liu et al., 2024, arXiv 2402.02750). `quantize` in
 * ops/integer documents the arithmetic. Tokens that share scales (`groupAxis: 'channel'`) are evicted as whole groups.
 */
export const integer: Factory<IntegerOptions, Codec> = defineFactory('integer', entries, options => {
  const {center, rotate, ...layout} = options;
  const {bits, groupAxis, groupSize, symmetric} = layout;
  const plain = (x: tf.Tensor4D): IntegerEncoding => quantize(x, {...layout, dim: x.shape[3]});
  return {
    name: 'integer',
    options,
    blockTokens: groupAxis === 'channel' ? groupSize : 1,
    sharedNumbers: dim => (center || rotate ? dim * dim : 0) + (center ? dim : 0),
    encode: (x, like) => (center || rotate ? rotated(x, like, options, plain) : plain(x)),
    errorBound: x =>
      tf.tidy(() => {
        const {basis, mean} = basisOf(x, options);
        const codes = center || rotate ? project(mean ? tf.sub(x, mean) : x, basis) : x;
        const halfStep = tf.mul(largestStep(codes, bits, symmetric), 0.5);
        return rotate ? tf.mul(halfStep, Math.sqrt(x.shape[3])) : halfStep; // rotating back sums the errors of all channels
      }),
  };
});

/** Codes of `(x - mean) B^T` for a square orthonormal basis B: for attention, a low-rank encoding of full rank. */
function rotated(
  x: tf.Tensor4D,
  like: Encoding | undefined,
  options: {center: boolean; rotate: boolean},
  encode: (x: tf.Tensor4D) => IntegerEncoding,
): LowRankEncoding {
  const {basis, mean} = sharedBasis(like) ?? basisOf(x, options);
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

/** A Hadamard matrix (if `rotate`) or the identity for each head, and the mean of these tokens (if `center`). */
function basisOf(
  x: tf.Tensor4D,
  {center, rotate}: {center: boolean; rotate: boolean},
): {basis: tf.Tensor4D; mean?: tf.Tensor4D} {
  const [batch, kvHeads, , dim] = x.shape;
  const spreads = rotate && dim % 2 === 0; // a Hadamard matrix of an odd size is that of size 1
  const matrix = spreads ? hadamard(tf.eye(dim)) : tf.eye(dim);
  const basis: tf.Tensor4D = tf.tile(tf.reshape(matrix, [1, 1, dim, dim]), [batch, kvHeads, 1, 1]);
  return center ? {basis, mean: tf.mean<tf.Tensor4D>(x, 2, true)} : {basis};
}

/** An upper bound for the scales of all groups: see `quantize`. Scales are rounded up by a relative 2^-8 at most. */
function largestStep(x: tf.Tensor4D, bits: number, symmetric: boolean): tf.Tensor {
  const largest = tf.max(tf.abs(x));
  const range = symmetric
    ? tf.div(largest, 2 ** (bits - 1) - 1)
    : tf.maximum(
        tf.div(tf.add(tf.sub(tf.max(x), tf.min(x)), tf.div(largest, 1024)), 2 ** bits - 1 - 2 ** -8),
        tf.div(largest, 32768),
      );
  return tf.mul(range, 1 + 2 ** -8 + 2 ** -20); // and float32 rounding
}
