import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions, probability} from '../../base/options.js';
import {differentiable} from '../differentiable.js';
import {expectRank} from './expect_rank.js';
import {hostMatrices} from './host_stacks.js';
import {effectiveRank} from './ranks.js';
import {asStack, type NumbersOf} from './stacks.js';
import {type Svd, svd} from './svd/index.js';

/** How many directions `lowRank` keeps: one of both is given. */
export interface LowRankOptions {
  /** From 1 to min(m, n). */
  readonly rank?: number;
  /** The share of the squared singular values to keep, in (0, 1]: the smallest rank, at least 1, that does so in every matrix of the stack. */
  readonly energy?: number;
}

/** `x` is nearly `left right`. */
export type LowRank<T extends tf.Tensor = tf.Tensor> = {
  /** `U diag(s)`, the coefficients in the rows of `right`: `[..., m, rank]`. */
  left: T;
  /** Orthonormal rows: `[..., rank, n]`. */
  right: T;
  /** The Frobenius norm of `x - left right`, `sqrt(sum_{i > rank} s_i^2)`: `[...]`. */
  error: NumbersOf<T>;
};

const optionsSchema = v.strictObject({rank: v.optional(atLeast(1)), energy: v.optional(probability)});

/**
 * The best approximation of a rank, `left right` (Eckart and Young, 1936): no other pair of factors with so many columns and rows has a
 * smaller Frobenius error, nor a smaller spectral one. Differentiable in x, as `svd` is.
 *
 *     const {left, right, error} = lowRank(x, {rank: 16});
 *     const {left, right, error} = lowRank(x, {energy: 0.99}); // error <= 0.1 ||x||
 *
 * @param x float32 `[..., m, n]`.
 * @throws InvalidArgumentError if x is not a stack of float32 matrices, or is empty, if not exactly one option is given or it is out of
 *   its range, or, with `energy`, if a number is not finite; BackendError on webgpu with `energy`, which needs the singular values on the
 *   host: await those of `svd(x).s`, take their `effectiveRank`, and give that rank.
 */
export function lowRank<T extends tf.Tensor>(x: T, options: LowRankOptions): LowRank<T> {
  const {rank, energy} = checkOptions('lowRank', optionsSchema, options);
  if ((rank === undefined) === (energy === undefined)) {
    throw new InvalidArgumentError('lowRank takes either rank or energy; one of both has to be given.');
  }
  return tf.tidy(() => {
    const stack = asStack('lowRank', x);
    if (rank !== undefined) expectRank('lowRank', rank, stack);
    const {u, s, vt}: Svd = svd<tf.Tensor>(x);
    const kept = rank ?? rankOfEnergy(s, energy!);
    const first = (of: tf.Tensor, axis: number) =>
      tf.slice(of, Array<number>(of.rank).fill(0), of.shape.with(axis, kept));
    return {
      left: tf.mul<T>(first(u, u.rank - 1), tf.expandDims(first(s, s.rank - 1), -2)),
      right: first(vt, vt.rank - 2) as T,
      error: normOfRest(s, kept) as NumbersOf<T>,
    };
  });
}

function rankOfEnergy(s: tf.Tensor, energy: number): number {
  const numbers = hostMatrices('lowRank with an energy', s);
  const count = s.shape.at(-1)!;
  let most = 1;
  for (let at = 0; at < numbers.length; at += count) {
    const values = numbers.subarray(at, at + count);
    if (!values.every(Number.isFinite)) {
      throw new InvalidArgumentError(
        `lowRank with an energy decides by the numbers: matrix ${at / count} of ${numbers.length / count} has NaN, Infinity, or a singular value above float32.`,
      );
    }
    most = Math.max(most, effectiveRank(values, energy));
  }
  return most;
}

/** sqrt(sum_{i >= kept} s_i^2), without squares that overflow. */
function normOfRest(s: tf.Tensor, kept: number): tf.Tensor {
  const leading = s.shape.slice(0, -1);
  const count = s.shape.at(-1)!;
  if (kept === count) return tf.mul(tf.min(s, -1), 0); // NaN stays
  const rest = tf.slice(s, [...leading.map(() => 0), kept], [...leading, count - kept]);
  const scale = tf.maximum(tf.max(rest, -1, true), 2 ** -126);
  const norm = tf.mul(tf.sqrt(tf.sum(tf.square(tf.div(rest, scale)), -1, true)), scale);
  const flat = tf.squeeze(norm, [-1]);
  return differentiable(
    [rest],
    [rest, norm],
    () => tf.reshape(flat, flat.shape),
    (dy, saved) => tf.mul(tf.expandDims(dy, -1), tf.div(saved[0], tf.maximum(saved[1], 2 ** -126))),
  );
}
