import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../../differentiable.js';
import {defineOp, hasKernel, runOp} from '../../run_op.js';
import {type RowsOf, asSquareStack, unstack} from '../stacks.js';
import {eighGradient} from './gradient.js';
import {eighReference, packedEigenvectors} from './reference.js';
import './tensorflow.js';
import {eighWasm} from './wasm.js';
import {eighWebgpu, mostDim} from './webgpu.js';

/** Eigenvalues `[..., dim]`, descending, and eigenvectors as rows `[..., dim, dim]`: row i belongs to value i. */
export type Eigen<T extends tf.Tensor = tf.Tensor> = {values: RowsOf<T>; vectors: T};

/**
 * Eigendecomposition of symmetric matrices: `x = V^T diag(values) V` with the eigenvectors as the orthonormal rows of V, the largest
 * value first. (NumPy's `eigh` has the smallest first and vectors as columns.)
 *
 * Of a matrix that is not symmetric the mean with its transpose is taken, `(x + x^T) / 2`; both triangles are read. Repeated eigenvalues
 * get some orthonormal basis of their space. Signs are fixed: the leading component of each vector (the first whose magnitude is
 * within 1e-5 of the largest) is positive. A matrix with a number that is not finite gives NaN throughout, and the others of its
 * stack are computed.
 *
 * On wasm, tensorflow, cpu and webgl all steps are in float64, and values and vectors are then rounded to float32: values are accurate to 6e-8 of the
 * largest, whatever the scale. Householder tridiagonalisation and implicit QL (Golub and Van Loan, Matrix Computations, 8.3). Wasm
 * takes 0.08 ms for 48 x 48, 0.17 ms for 64 x 64, 1.2 ms for 128 x 128; tensorflow computes it by its own op, others on the host, ten times slower. On
 * webgpu Jacobi's method in float32, to 1,024 x 1,024, without reading a number: values to 6e-8 (dim + 16) of the largest.
 *
 * Differentiable in x (Giles, 2008, "An extended collection of matrix derivative results"). The derivative of vectors is not defined
 * where eigenvalues are equal (within 1.2e-7 of the largest). What would be divided by their gap is left out, which is right for functions of
 * their common space alone, such as projections on it or the sum of its values, and wrong for others. Close pairs magnify errors by the inverse
 * of their gap.
 *
 * @param x float32 `[..., dim, dim]`.
 * @throws InvalidArgumentError if x is not a stack of square float32 matrices, or is empty; BackendError on webgpu for larger ones: await
 *   `eighAsync`.
 */
export function eigh<T extends tf.Tensor>(x: T): Eigen<T> {
  return tf.tidy(() => unpack(packedEigh(asSquareStack('eigh', x)), x));
}

/** `eigh` on any backend and of any size, without a gradient: awaits the numbers where they must be read. Errors as `eigh`'s for bad shapes. */
export async function eighAsync<T extends tf.Tensor>(x: T): Promise<Eigen<T>> {
  const [n, dim] = tf.tidy(() => asSquareStack('eighAsync', x).shape);
  if (hasKernel(eighOp.name) && (tf.getBackend() !== 'webgpu' || dim <= mostDim)) return eigh(x);
  const packed = packedEigenvectors(await x.data<'float32'>(), n, dim);
  return tf.tidy(() => unpack(tf.tensor3d(packed, [n, dim + 1, dim]), x));
}

/** One output, as ops must have: `[n, dim + 1, dim]`, row 0 the values, then the vectors. */
export const eighOp = defineOp({
  name: 'Eigh',
  reference: eighReference,
  kernels: {wasm: eighWasm, webgpu: eighWebgpu},
});

function packedEigh(x: tf.Tensor3D): tf.Tensor3D {
  const packed = runOp(eighOp, {x}, {});
  return differentiable(
    [x],
    [packed],
    () => tf.reshape(packed, packed.shape),
    (dy, saved) => eighGradient(dy, saved[0]),
  );
}

function unpack<T extends tf.Tensor>(packed: tf.Tensor3D, x: T): Eigen<T> {
  const [n, rows, dim] = packed.shape;
  return {
    values: unstack(tf.reshape(tf.slice(packed, [0, 0, 0], [n, 1, dim]), [n, dim]), x),
    vectors: unstack(tf.slice(packed, [0, 1, 0], [n, rows - 1, dim]), x),
  };
}
