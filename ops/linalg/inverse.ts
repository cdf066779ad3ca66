import {Matrix, inverse} from 'ml-matrix';
import {multiply64} from './matrix64.js';

/**
 * The inverse of each of `count` matrices `[dim, dim]`, row-major, in float64 on the host.
 * @returns float32 `[count, dim, dim]`; undefined if a matrix is singular, or so nearly that rounding to float32 spoils its inverse.
 */
export function inverses(matrices: Float32Array, count: number, dim: number): Float32Array | undefined {
  const inverted = new Float32Array(matrices.length);
  for (let i = 0; i < count; i++) {
    const part = matrices.subarray(i * dim * dim, (i + 1) * dim * dim);
    const rows = Array.from({length: dim}, (_, row) => [...part.subarray(row * dim, (row + 1) * dim)]);
    try {
      inverted.set(inverse(new Matrix(rows)).to1DArray(), i * dim * dim);
    } catch {
      return undefined;
    }
  }
  const parts = Array.from({length: count}, (_, i) => [i * dim * dim, (i + 1) * dim * dim] as const);
  const areInverse = parts.every(part =>
    multiply64(inverted.subarray(...part), matrices.subarray(...part), dim, dim, dim).every(
      (number, at) => Math.abs(number - (at % (dim + 1) === 0 ? 1 : 0)) < mostError,
    ),
  );
  return areInverse ? inverted : undefined;
}

/** Of an element of A^-1 A. */
const mostError = 0.1;
