import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {defineOp, hasKernel, runOp} from '../../run_op.js';
import {eighReference, packedEigenvectors} from './reference.js';
import {eighWasm} from './wasm.js';

/** Eigenvalues `[n, dim]`, descending, and eigenvectors as rows `[n, dim, dim]`: row i belongs to value i. */
export type Eigen = {values: tf.Tensor2D; vectors: tf.Tensor3D};

/**
 * Eigendecomposition of symmetric matrices, one after the other: `x = V^T diag(values) V` with the eigenvectors as the
 * orthonormal rows of V.
 *
 * Of a matrix that is not quite symmetric the mean with its transpose is taken. All steps are in float64; values and vectors
 * are then rounded to float32, so values are accurate to 6e-8 of the largest, whatever the scale. Repeated eigenvalues get
 * some orthonormal basis of their space. Signs are fixed: the leading component of each vector (the first whose magnitude
 * is within 1e-5 of the largest) is positive. A matrix with a number that is not finite gives NaN throughout.
 *
 * Householder tridiagonalisation and implicit QL (Golub and Van Loan, Matrix Computations, 8.3). Wasm takes 0.08 ms for
 * 48 x 48, 0.17 ms for 64 x 64, 1.2 ms for 128 x 128; elsewhere ml-matrix computes it on the host, ten times slower. On
 * webgpu numbers cannot be read synchronously: use `eighAsync`. No gradient.
 *
 * @param x float32 `[n, dim, dim]`.
 * @throws InvalidArgumentError if x is not a stack of square float32 matrices; BackendError on webgpu.
 */
export function eigh(x: tf.Tensor3D): Eigen {
  expectSquare(x);
  return tf.tidy(() => unpack(runOp(eighOp, {x}, {})));
}

/** `eigh` on any backend: awaits the numbers if they must be read (webgl, webgpu). */
export async function eighAsync(x: tf.Tensor3D): Promise<Eigen> {
  expectSquare(x);
  if (hasKernel(eighOp.name)) return eigh(x);
  const [n, dim] = x.shape;
  const packed = packedEigenvectors(await x.data<'float32'>(), n, dim);
  return tf.tidy(() => unpack(tf.tensor3d(packed, [n, dim + 1, dim])));
}

/** One output, as ops must have: `[n, dim + 1, dim]`, row 0 the values, then the vectors. */
export const eighOp = defineOp({
  name: 'Eigh',
  reference: eighReference,
  kernels: {wasm: eighWasm},
});

function unpack(packed: tf.Tensor3D): Eigen {
  const [n, rows, dim] = packed.shape;
  return {
    values: tf.reshape(tf.slice(packed, [0, 0, 0], [n, 1, dim]), [n, dim]),
    vectors: tf.slice(packed, [0, 1, 0], [n, rows - 1, dim]),
  };
}

function expectSquare({shape, dtype}: tf.Tensor): void {
  const [, rows, columns] = shape;
  if (shape.length !== 3 || rows !== columns || rows === 0 || dtype !== 'float32') {
    throw new InvalidArgumentError(
      `eigh got ${dtype} [${shape.join(', ')}]; it takes float32 [n, dim, dim] with dim >= 1.`,
    );
  }
}
