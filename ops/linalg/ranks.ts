import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {isTensor} from '../tensor_shown.js';

/**
 * The smallest r whose r largest singular values have a share `energy` of the total:
 *
 *     sum_{i <= r} s_i^2 >= energy * sum_i s_i^2
 *
 * By Eckart and Young (1936) the rest is the squared Frobenius error of the best approximation of rank r.
 *
 * @param singularValues not negative, in any order.
 * @param energy above 0, at most 1; default 0.99.
 * @returns 0 if all singular values are zero.
 * @throws InvalidArgumentError for another energy, or singular values that are negative or not finite.
 */
export function effectiveRank(singularValues: ArrayLike<number>, energy = 0.99): number {
  if (!(energy > 0 && energy <= 1)) {
    throw new InvalidArgumentError(
      `energy = ${energy}; expected a share above 0 and at most 1, such as 0.99.`,
    );
  }
  const squares = scaledSquares('effectiveRank', singularValues).sort().reverse();
  const total = squares.reduce((sum, square) => sum + square, 0);
  if (total === 0) return 0;
  let kept = 0;
  return squares.findIndex(square => (kept += square) >= energy * total) + 1;
}

/**
 * Stable rank `||A||_F^2 / ||A||_2^2 = sum_i s_i^2 / max_i s_i^2`: at most the rank, and moved little by small singular
 * values (Rudelson and Vershynin, 2007, arXiv math/0503442). 0 if all singular values are zero.
 *
 * @param singularValues not negative, in any order.
 * @throws InvalidArgumentError if one is negative or not finite.
 */
export function stableRank(singularValues: ArrayLike<number>): number {
  // after scaling, the largest square is 1 (or all are zero)
  return scaledSquares('stableRank', singularValues).reduce((sum, square) => sum + square, 0);
}

/**
 * Shannon entropy of attention weights, in nats: `-sum_j p_j ln p_j` over the last axis, with 0 ln 0 = 0.
 * From 0 (one token has all) to ln of the number of tokens (all alike).
 *
 * @param weights float32 `[..., tokens]`; each row sums to 1. A row of zeros (a query that sees nothing) gives 0.
 * @returns float32 `[...]`.
 */
export function attentionEntropy(weights: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const positive = tf.where(tf.greater(weights, 0), weights, tf.onesLike(weights)); // ln 1 = 0 stands in for 0 ln 0
    return tf.neg(tf.sum(tf.mul(weights, tf.log(positive)), -1));
  });
}

/**
 * Renyi entropy of order 2 of attention weights, in nats: `-ln sum_j p_j^2` over the last axis. `exp` of it is how many
 * tokens share the weight effectively; never above `attentionEntropy`.
 *
 * @param weights float32 `[..., tokens]`; each row sums to 1. A row of zeros gives 0.
 * @returns float32 `[...]`.
 */
export function renyi2Entropy(weights: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const squares = tf.sum(tf.square(weights), -1);
    return tf.neg(tf.log(tf.where(tf.equal(squares, 0), tf.onesLike(squares), squares)));
  });
}

/** (s_i / max s)^2: squares that neither overflow nor all underflow. Zeros if all are zero. */
function scaledSquares(owner: string, singularValues: ArrayLike<number>): Float64Array {
  // of other things, which have no length, Float64Array.from makes an empty list
  const length: unknown = (singularValues as Partial<ArrayLike<number>> | null | undefined)?.length;
  if (typeof length !== 'number') {
    throw new InvalidArgumentError(
      `${owner} got ${isTensor(singularValues) ? 'a tensor' : shown(singularValues)}; it takes a list of singular values, as await s.data() gives it.`,
    );
  }
  const values = Float64Array.from(singularValues);
  for (const [index, value] of values.entries()) {
    if (!(value >= 0 && value < Infinity)) {
      throw new InvalidArgumentError(
        `singular value ${index} is ${value}; singular values are finite and not negative.`,
      );
    }
  }
  const largest = values.reduce((a, b) => Math.max(a, b), 0);
  return largest === 0 ? values : values.map(value => (value / largest) ** 2);
}
