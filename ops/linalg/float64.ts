import {InvalidArgumentError} from '../../base/errors.js';
import {diagonalize64} from './eigh/diagonalize64.js';

/** Eigenvalues in descending order, and the eigenvectors as rows: `vectors[i * dim + j]` is component j of vector i. */
interface Eigen64 {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/**
 * Eigendecomposition of one symmetric matrix in float64, on the host: for calibration, and the reference of `eigh`.
 * Of a matrix that is not quite symmetric the mean with its transpose is taken. Signs as in `eigh`.
 *
 * 64 x 64 takes about 2 ms, 128 x 128 about 10 ms, 512 x 512 about half a second (Node 20).
 *
 * @param matrix `[dim, dim]`, row-major.
 * @throws InvalidArgumentError if the length is not dim * dim or a number is not finite.
 */
export function eigh64(matrix: ArrayLike<number>, dim: number): Eigen64 {
  expectMatrix(matrix, dim);
  const scale = powerBelow(matrix);
  const rows = Array.from({length: dim}, (_, i) =>
    Float64Array.from(
      {length: dim},
      (__, j) => 0.5 * (matrix[i * dim + j]! / scale + matrix[j * dim + i]! / scale),
    ),
  );
  const found = diagonalize64(rows);
  const order = Array.from(found.keys()).sort((a, b) => found[b]! - found[a]!);
  const vectors = new Float64Array(dim * dim);
  for (const [i, row] of order.entries()) vectors.set(withFixedSign(rows[row]!), i * dim);
  return {values: Float64Array.from(order, row => found[row]! * scale), vectors};
}

/** The power of two below the largest magnitude; 1 for zeros. */
function powerBelow(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) largest = Math.max(largest, Math.abs(numbers[i]!));
  return largest === 0 ? 1 : 2 ** Math.floor(Math.log2(largest));
}

function withFixedSign(vector: Float64Array): Float64Array {
  return vector[leadingIndex(vector)]! < 0 ? vector.map(value => -value) : vector;
}

/**
 * The first component whose magnitude is within 1e-5 of the largest: of components that are equal but for rounding it is
 * always the same one, so that all backends choose the same sign. The kernel in ops/assembly/eigh.ts has the same rule.
 */
export function leadingIndex(vector: Float64Array): number {
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
