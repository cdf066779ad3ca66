import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {differentiable} from '../differentiable.js';
import {defineOp, runOp} from '../run_op.js';
import {batchedMatMulReference, type BatchedMatMulAttributes} from './reference.js';
import {batchedMatMulWasm} from './wasm.js';

/**
 * One matrix product, or one for each head: `out = A B` for each pair of matrices in the last two axes, all leading axes equal.
 * Differentiable in both. Absolute error <= (k + 2) 2^-24 sum |a_i b_i|, if that fits float32.
 *
 * tfjs' own matMul is slow on wasm if it is batched ([3, 8192, 32] x [3, 32, 32] took 23 ms, head by head 8.3 ms, this kernel 1.4 ms)
 * or transposes, and keeps a copy of b for the next time.
 *
 * @param a float32 `[..., m, k]`, or `[..., k, m]` with `transposeA`.
 * @param b float32 `[..., k, n]`, or `[..., n, k]` with `transposeB`.
 * @returns float32 `[..., m, n]`.
 * @throws InvalidArgumentError if shapes or dtypes do not fit.
 */
export function batchedMatMul<Rank extends tf.Tensor2D | tf.Tensor3D | tf.Tensor4D>(
  a: Rank,
  b: Rank,
  {transposeA = false, transposeB = false}: Partial<BatchedMatMulAttributes> = {},
): Rank {
  const attributes = {transposeA, transposeB};
  const {leading, innerOfB, k} = sizes(a.shape, b.shape, attributes);
  if (
    a.dtype !== 'float32' ||
    b.dtype !== 'float32' ||
    a.rank !== b.rank ||
    leading.join() !== b.shape.slice(0, -2).join() ||
    k !== innerOfB
  ) {
    const described = [a, b].map(({shape, dtype}) => `${dtype} [${shape.join(', ')}]`).join(' and ');
    throw new InvalidArgumentError(
      `batchedMatMul got ${described} with transposeA ${transposeA} and transposeB ${transposeB}; ` +
        'it takes float32 matrices with equal leading axes whose inner axes are equal.',
    );
  }
  return differentiable([a, b], [a, b], () => runOp(batchedMatMulOp, {a, b}, attributes) as Rank, [
    (dy, saved) => gradientOfA(dy, saved[1], attributes),
    (dy, saved) => gradientOfB(dy, saved[0], attributes),
  ]);
}

/** dA = dC B^T, or its transpose B dC^T. */
function gradientOfA<Rank extends tf.Tensor2D | tf.Tensor3D | tf.Tensor4D>(
  dy: Rank,
  b: Rank,
  {transposeA, transposeB}: BatchedMatMulAttributes,
): Rank {
  if (transposeA) return batchedMatMul(b, dy, {transposeA: transposeB, transposeB: true});
  return batchedMatMul(dy, b, {transposeB: !transposeB});
}

/** dB = A^T dC, or its transpose dC^T A. */
function gradientOfB<Rank extends tf.Tensor2D | tf.Tensor3D | tf.Tensor4D>(
  dy: Rank,
  a: Rank,
  {transposeA, transposeB}: BatchedMatMulAttributes,
): Rank {
  if (transposeB) return batchedMatMul(dy, a, {transposeA: true, transposeB: transposeA});
  return batchedMatMul(a, dy, {transposeA: !transposeA});
}

export const batchedMatMulOp = defineOp<{a: tf.Tensor; b: tf.Tensor}, BatchedMatMulAttributes>({
  name: 'BatchedMatMul',
  reference: batchedMatMulReference,
  kernels: {wasm: batchedMatMulWasm},
});

function sizes(a: readonly number[], b: readonly number[], options: BatchedMatMulAttributes) {
  return {
    leading: a.slice(0, -2),
    k: a.at(options.transposeA ? -2 : -1),
    innerOfB: b.at(options.transposeB ? -1 : -2),
  };
}
