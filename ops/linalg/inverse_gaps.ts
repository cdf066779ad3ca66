import * as tf from '@tensorflow/tfjs';

/** What values are divided by at least: smaller numbers are zeros on some backends. */
export const smallestNormal = 2 ** -126;

/**
 * `1 / (values_j - values_i)`, and 0 where float32 cannot tell them apart: on the diagonal, and for pairs within 2^-23.
 *
 * @param values float32 `[n, count]`, whose largest magnitude is 1.
 * @returns float32 `[n, count, count]`.
 */
export function inverseGaps(values: tf.Tensor2D): tf.Tensor3D {
  const gaps: tf.Tensor3D = tf.sub(tf.expandDims(values, 1), tf.expandDims(values, 2));
  const apart = tf.greater(tf.abs(gaps), 2 ** -23);
  return tf.where(apart, tf.reciprocal(tf.where(apart, gaps, tf.onesLike(gaps))), tf.zerosLike(gaps));
}
