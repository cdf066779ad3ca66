import {EigenvalueDecomposition, Matrix} from 'ml-matrix';
import {InvalidArgumentError} from '../../base/errors.js';

/** Eigenvalues in descending order, and the eigenvectors as rows: `vectors[i * dim + j]` is component j of vector i. */
interface Eigen64 {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/**
 * Eigendecomposition of one symmetric matrix in float64, on the host: for calibration, and the reference of `eigh`.
 * Of a matrix that is not quite symmetric the mean with its transpose is taken. Signs as in `eigh`.
 *
 * ml-matrix; 64 x 64 takes about 1.6 ms, 128 x 128 about 15 ms, 512 x 512 about 1 s.
 *
 * @param matrix `[dim, dim]`, row-major.
 * @throws InvalidArgumentError if the length is not dim * dim or a number is not finite.
 */
export function eigh64(matrix: ArrayLike<number>, dim: number): Eigen64 {
  expectMatrix(matrix, dim);
  const symmetric = new Matrix(dim, dim);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < dim; j++) {
      symmetric.set(i, j, 0.5 * (matrix[i * dim + j]! + matrix[j * dim + i]!));
    }
  }
  const found = new EigenvalueDecomposition(symmetric, {assumeSymmetric: true});
  const order = Array.from(found.realEigenvalues, (_, i) => i).sort(
    (a, b) => found.realEigenvalues[b]! - found.realEigenvalues[a]!,
  );
  const vectors = new Float64Array(dim * dim);
  for (const [i, column] of order.entries()) {
    vectors.set(withFixedSign(found.eigenvectorMatrix.getColumn(column)), i * dim);
  }
  return {values: Float64Array.from(order, index => found.realEigenvalues[index]!), vectors};
}

function withFixedSign(vector: number[]): number[] {
  return vector[leadingIndex(vector)]! < 0 ? vector.map(value => -value) : vector;
}

/**
 * The first component whose magnitude is within 1e-5 of the largest: of components that are equal but for rounding it is
 * always the same one, so that all backends choose the same sign. The kernel in ops/assembly/eigh.ts has the same rule.
 */
export function leadingIndex(vector: readonly number[] | Float64Array): number {
  let largest = 0;
  for (const value of vector) largest = Math.max(largest, Math.abs(value));
  return vector.findIndex(value => Math.abs(value) >= largest * 0.99999);
}

function expectMatrix(matrix: ArrayLike<number>, dim: number): void {
  if (dim < 1 || matrix.length !== dim * dim) {
    throw new InvalidArgumentError(
      `eigh64 got ${matrix.length} numbers for a matrix [${dim}, ${dim}]; it needs dim >= 1 and dim * dim numbers.`,
    );
  }
  for (let i = 0; i < matrix.length; i++) {
    if (!Number.isFinite(matrix[i])) {
      throw new InvalidArgumentError(
        `eigh64 got ${matrix[i]!} in row ${Math.floor(i / dim)}, column ${i % dim}; all numbers must be finite.`,
      );
    }
  }
}
