import {eigh64} from './float64.js';

// Products and powers of small matrices in float64, row-major, on the host: for calibration and spectra.

/** `a b`: `[rows, inner] . [inner, columns]`. */
export function multiply64(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  rows: number,
  inner: number,
  columns: number,
): Float64Array {
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < inner; k++) {
      const factor = a[i * inner + k]!;
      for (let j = 0; j < columns; j++) product[i * columns + j]! += factor * b[k * columns + j]!;
    }
  }
  return product;
}

/** `[rows, columns]` to `[columns, rows]`. */
export function transpose64(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j]!;
  }
  return out;
}

/**
 * Powers of a symmetric positive semidefinite matrix: `V diag((values + shift)^power) V^T` for each power. Eigenvalues
 * below 1e-14 of the largest are rounding and count as 0, whose negative powers count as 0 as well (a pseudo-inverse).
 *
 * @param matrix `[dim, dim]`.
 * @throws InvalidArgumentError if a number is not finite.
 */
export function symmetricPowers64(
  matrix: ArrayLike<number>,
  dim: number,
  powers: readonly number[],
  shift = 0,
): Float64Array[] {
  const {values, vectors} = eigh64(matrix, dim);
  return powers.map(power => {
    const out = new Float64Array(dim * dim);
    for (let k = 0; k < dim; k++) {
      const value = (values[k]! > 1e-14 * values[0]! ? values[k]! : 0) + shift;
      const factor = value === 0 ? 0 : value ** power;
      for (let i = 0; i < dim; i++) {
        const scaled = factor * vectors[k * dim + i]!;
        for (let j = 0; j < dim; j++) out[i * dim + j]! += scaled * vectors[k * dim + j]!;
      }
    }
    return out;
  });
}
