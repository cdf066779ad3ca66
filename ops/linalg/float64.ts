import {EigenvalueDecomposition, Matrix, SingularValueDecomposition} from 'ml-matrix';
import {InvalidArgumentError} from '../../base/errors.js';

/** Eigenvalues in descending order, and the eigenvectors as rows: `vectors[i * dim + j]` is component j of vector i. */
export interface Eigen64 {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** A thin singular value decomposition `x = u diag(s) vt`, k = min(rows, columns), all row-major. */
export interface Svd64 {
  /** `[rows, k]`, orthonormal columns. */
  readonly u: Float64Array;
  /** `[k]`, descending. */
  readonly s: Float64Array;
  /** `[k, columns]`, orthonormal rows. */
  readonly vt: Float64Array;
}

/**
 * Eigendecomposition of one symmetric matrix in float64, on the host: for calibration, and the reference of `eigh`.
 * Of a matrix that is not quite symmetric the mean with its transpose is taken. Signs as in `eigh`.
 *
 * ml-matrix; 64 x 64 takes about 1.6 ms, 128 x 128 about 15 ms, 512 x 512 about 1 s.
 *
 * @param matrix `[dim, dim]`, row-major.
 * @throws InvalidArgumentError where the length is not dim * dim or a number is not finite.
 */
export function eigh64(matrix: ArrayLike<number>, dim: number): Eigen64 {
  expectMatrix('eigh64', matrix, dim, dim);
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

/**
 * Thin singular value decomposition of one matrix in float64, on the host, accurate to 1e-14 of the largest singular value
 * (`svd` reaches 3e-4 only): for calibration. ml-matrix; 4096 x 128 takes about 1.6 s. The signs are those that make the
 * leading component of each row of `vt` positive, as in `eigh`.
 *
 * @param matrix `[rows, columns]`, row-major.
 * @throws InvalidArgumentError where the length is not rows * columns or a number is not finite.
 */
export function svd64(matrix: ArrayLike<number>, rows: number, columns: number): Svd64 {
  expectMatrix('svd64', matrix, rows, columns);
  const k = Math.min(rows, columns);
  const found = new SingularValueDecomposition(Matrix.from1DArray(rows, columns, matrix), {
    autoTranspose: true,
  });
  const u = new Float64Array(rows * k);
  const vt = new Float64Array(k * columns);
  for (let i = 0; i < k; i++) {
    const right = found.rightSingularVectors.getColumn(i);
    const sign = right[leadingIndex(right)]! < 0 ? -1 : 1;
    for (let j = 0; j < columns; j++) vt[i * columns + j] = sign * right[j]!;
    for (let j = 0; j < rows; j++) u[j * k + i] = sign * found.leftSingularVectors.get(j, i);
  }
  return {u, s: Float64Array.from(found.diagonal.slice(0, k)), vt};
}

function withFixedSign(vector: number[]): number[] {
  return vector[leadingIndex(vector)]! < 0 ? vector.map(value => -value) : vector;
}

/**
 * The first component whose magnitude is within 1e-5 of the largest: of components that are equal but for rounding it is
 * always the same one, so that all backends choose the same sign. The kernel in ops/assembly/eigh.ts has the same rule.
 */
function leadingIndex(vector: readonly number[]): number {
  const largest = vector.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return vector.findIndex(value => Math.abs(value) >= largest * 0.99999);
}

function expectMatrix(what: string, matrix: ArrayLike<number>, rows: number, columns: number): void {
  if (!(rows >= 1 && columns >= 1) || matrix.length !== rows * columns) {
    throw new InvalidArgumentError(
      `${what} got ${matrix.length} numbers for a matrix [${rows}, ${columns}]; ` +
        'it needs at least one row and column, and rows * columns numbers.',
    );
  }
  for (let i = 0; i < matrix.length; i++) {
    if (!Number.isFinite(matrix[i])) {
      throw new InvalidArgumentError(
        `${what} got ${matrix[i]!} in row ${Math.floor(i / columns)}, column ${i % columns}; all numbers must be finite.`,
      );
    }
  }
}
