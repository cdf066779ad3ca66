import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions} from '../../../base/options.js';
import {differentiable} from '../../differentiable.js';
import {defineOp, runOp} from '../../run_op.js';
import {type RowsOf, asStack, unstack} from '../stacks.js';
import {expectRank} from '../expect_rank.js';
import {svdGradient} from './gradient.js';
import {svdReference} from './reference.js';
import './tensorflow.js';
import {svdWasm} from './wasm.js';
import {svdWebgpu} from './webgpu.js';

/** `x = u diag(s) vt`: `u` is `[..., m, rank]`, `s` `[..., rank]`, descending, and `vt` `[..., rank, n]`. */
export type Svd<T extends tf.Tensor = tf.Tensor> = {u: T; s: RowsOf<T>; vt: T};

export interface SvdOptions {
  /** How many singular values and vectors, the largest. Default: min(m, n), all. */
  readonly rank?: number;
}

const optionsSchema = v.strictObject({rank: v.optional(atLeast(1))});

/**
 * Singular value decomposition: `x = u diag(s) vt` with orthonormal columns of u and rows of vt, and s >= 0 descending, as NumPy's
 * `svd(x, full_matrices=False)` has it. With `rank` the first ones only: u diag(s) vt is then the best approximation of that rank
 * (Eckart and Young, 1936).
 *
 * Signs are fixed: the leading component of each row of vt (the first whose magnitude is within 1e-5 of the largest) is positive.
 * Equal singular values get some orthonormal basis of their spaces, and so does what is left where s is zero. A matrix with a number
 * that is not finite gives NaN throughout, and the others of its stack are computed.
 *
 * On wasm, tensorflow, cpu and webgl all steps are in float64 and results are then rounded to float32: s is accurate to 6e-8 of itself plus 1e-15 times
 * max(m, n) of the largest, whatever the scale. Wasm: the eigenvectors of the smaller Gram matrix, then one-sided Jacobi (Hestenes,
 * 1958) for what its squares lost; tensorflow: its own op; elsewhere one-sided Jacobi on the host. On webgpu one-sided Jacobi in float32, for min(m, n) to 512 and
 * max(m, n) to 8,192, without reading a number: s to 6e-8 (max(m, n) + 16) of the largest.
 *
 * Differentiable in x (Townsend, 2016, "Differentiating the singular value decomposition"). The derivative of u and vt is not defined where
 * singular values are equal (within 1.2e-7 of the largest) or zero. What would be divided by their gap or by zero is left out, which is
 * right for functions of their common space alone, such as projections on it, its part of `u vt` or of the sum of s, and wrong for others. Close
 * pairs magnify errors by the inverse of their gap.
 *
 * @param x float32 `[..., m, n]`.
 * @throws InvalidArgumentError if x is not a stack of float32 matrices, or is empty, or for a rank that is not from 1 to min(m, n);
 *   BackendError on webgpu for larger ones.
 */
export function svd<T extends tf.Tensor>(x: T, options: SvdOptions = {}): Svd<T> {
  const {rank} = checkOptions('svd', optionsSchema, options);
  return tf.tidy(() => {
    const stack = asStack('svd', x);
    const [n, rows, columns] = stack.shape;
    const triplets = packedSvd(stack);
    const kept = expectRank('svd', rank ?? triplets.shape[1], stack);
    return {
      u: unstack<T>(tf.transpose(tf.slice(triplets, [0, 0, 0], [n, kept, rows]), [0, 2, 1]), x),
      s: unstack<RowsOf<T>>(tf.reshape(tf.slice(triplets, [0, 0, rows], [n, kept, 1]), [n, kept]), x),
      vt: unstack<T>(tf.slice(triplets, [0, 0, rows + 1], [n, kept, columns]), x),
    };
  });
}

/** One output, as ops must have: `[n, min(rows, columns), rows + 1 + columns]`, each row a triplet (u, s, v). */
export const svdOp = defineOp({
  name: 'Svd',
  reference: svdReference,
  kernels: {wasm: svdWasm, webgpu: svdWebgpu},
});

function packedSvd(x: tf.Tensor3D): tf.Tensor3D {
  const [, rows, columns] = x.shape;
  const triplets = runOp(svdOp, {x}, {});
  return differentiable(
    [x],
    [triplets],
    () => tf.reshape(triplets, triplets.shape),
    (dy, saved) => svdGradient(dy, saved[0], rows, columns),
  );
}
