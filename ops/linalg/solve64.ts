import {addScaled64} from './rows64.js';

/**
 * x of `a x = b` in float64, on the host: Gaussian elimination with partial pivoting (Golub and Van Loan, Matrix Computations, 3.4).
 *
 * @param a `[dim, dim]`, row-major.
 * @param b `[dim, columns]`, row-major.
 * @returns `[dim, columns]`, row-major, with numbers that are not finite if a is singular.
 */
export function solve64(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  dim: number,
  columns: number,
): Float64Array {
  const rows = Array.from({length: dim}, (_, i) =>
    Float64Array.from({length: dim + columns}, (__, j) =>
      j < dim ? a[i * dim + j]! : b[i * columns + j - dim]!,
    ),
  );
  for (let k = 0; k < dim; k++) {
    const pivot = largestFrom(k, rows);
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (const row of rows.slice(k + 1)) addScaled64(row, -row[k]! / rows[k]![k]!, rows[k]!);
  }
  const x = new Float64Array(dim * columns);
  for (let k = dim - 1; k >= 0; k--) {
    const pivot = rows[k]![k]!;
    const solved = rows[k]!.subarray(dim).map(number => number / pivot);
    for (const row of rows.slice(0, k)) addScaled64(row.subarray(dim), -row[k]!, solved);
    x.set(solved, k * columns);
  }
  return x;
}

/** The row from k on whose k-th number is the largest. */
function largestFrom(k: number, rows: readonly Float64Array[]): number {
  let largest = k;
  for (let i = k + 1; i < rows.length; i++) {
    if (Math.abs(rows[i]![k]!) > Math.abs(rows[largest]![k]!)) largest = i;
  }
  return largest;
}
