import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {checkOptions, numberWithin} from '../../base/options.js';
import {batchedMatMul} from '../batched_matmul/index.js';
import {differentiable} from '../differentiable.js';
import {smallestNormal} from './inverse_gaps.js';
import {asStack, unstack} from './stacks.js';
import {svd} from './svd/index.js';

export interface PinvOptions {
  /** Singular values of at most this share of the largest count as zero. From 0 to 1; default max(m, n) 2^-23. */
  readonly tolerance?: number;
}

const optionsSchema = v.strictObject({tolerance: v.optional(numberWithin(0, 1))});

/**
 * The Moore-Penrose inverse `V diag(1 / s) U^T`: of a square matrix of full rank its inverse, and else what gives the shortest
 * y = pinv(x) b with the least |x y - b|. Its relative error grows with the condition, the largest singular value by the smallest that counts.
 *
 * Differentiable in x where no singular value crosses the tolerance (Golub and Pereyra, 1973).
 *
 * @param x float32 `[..., m, n]`.
 * @returns float32 `[..., n, m]`; zeros of zeros, NaN of a matrix with a number that is not finite.
 * @throws InvalidArgumentError if x is not a stack of float32 matrices, or is empty, or for other options; BackendError as `svd` does.
 */
export function pinv<T extends tf.Tensor>(x: T, options: PinvOptions = {}): T {
  const {tolerance} = checkOptions('pinv', optionsSchema, options);
  return tf.tidy(() => {
    const stack = asStack('pinv', x);
    const inverse = inverseOf(stack, tolerance ?? Math.max(stack.shape[1], stack.shape[2]) * 2 ** -23);
    const result = differentiable<[tf.Tensor3D, tf.Tensor3D], tf.Tensor3D>(
      [stack],
      [stack, inverse],
      () => tf.reshape(inverse, inverse.shape),
      (dy, saved) => pinvGradient(dy, saved[0], saved[1]),
    );
    return unstack<T>(result, x);
  });
}

function inverseOf(x: tf.Tensor3D, tolerance: number): tf.Tensor3D {
  const {u, s, vt} = svd(x);
  const counts = tf.greater(s, tf.mul(tf.max(s, 1, true), tolerance));
  const inverses = tf.where(counts, tf.reciprocal(tf.where(counts, s, tf.onesLike(s))), tf.mul(s, 0)); // NaN stays
  const weighted: tf.Tensor3D = tf.mul(vt, tf.expandDims(inverses, 2));
  return batchedMatMul(weighted, u, {transposeA: true, transposeB: true});
}

/**
 * With P = pinv(x): dx = (1 - x P) dP^T P P^T + P^T P dP^T (1 - P x) - P^T dP P^T. Computed for x / max |x|, since P P^T leaves float32 long
 * before dx does.
 */
function pinvGradient(dP: tf.Tensor3D, given: tf.Tensor3D, inverse: tf.Tensor3D): tf.Tensor3D {
  return tf.tidy(() => {
    const scale = tf.maximum(tf.max(tf.abs(given), [1, 2], true), smallestNormal);
    const x: tf.Tensor3D = tf.div(given, scale);
    const p: tf.Tensor3D = tf.mul(inverse, scale);
    const [dPt, pt] = [tf.transpose(tf.div<tf.Tensor3D>(dP, scale), [0, 2, 1]), tf.transpose(p, [0, 2, 1])];
    const left = batchedMatMul(dPt, batchedMatMul(p, pt));
    const right = batchedMatMul(batchedMatMul(pt, p), dPt);
    const outsideLeft = tf.sub(left, batchedMatMul(x, batchedMatMul(p, left)));
    const outsideRight = tf.sub(right, batchedMatMul(batchedMatMul(right, p), x));
    const inside = batchedMatMul(batchedMatMul(pt, dPt, {transposeB: true}), pt);
    return tf.div(tf.sub(tf.add(outsideLeft, outsideRight), inside), scale);
  });
}
