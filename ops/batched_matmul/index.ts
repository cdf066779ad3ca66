import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {defineOp, runOp} from '../run_op.js';
import {batchedMatMulReference, type BatchedMatMulAttributes} from './reference.js';
import {batchedMatMulWasm} from './wasm.js';

/**
 * One small matrix product per head: `out = A B` for each pair of matrices in the last two axes, all leading axes equal.
 * No gradient: it serves the cache, not training. Absolute error <= (k + 2) 2^-24 sum |a_i b_i|, if that
 * fits float32.
 *
 * tfjs' own batched matMul is slow on wasm: [3, 8192, 32] x [3, 32, 32] took 23 ms, head by head 8.3 ms, this kernel 1.4 ms.
 *
 * @param a float32 `[..., m, k]`, or `[..., k, m]` with `transposeA`.
 * @param b float32 `[..., k, n]`, or `[..., n, k]` with `transposeB`.
 * @returns float32 `[..., m, n]`.
 * @throws InvalidArgumentError if shapes or dtypes do not fit.
 */
export function batchedMatMul<Rank extends tf.Tensor3D | tf.Tensor4D>(
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
  return runOp(batchedMatMulOp, {a, b}, attributes) as Rank;
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
