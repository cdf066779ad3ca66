import {multiply64} from './matrix64.js';
import {solve64} from './solve64.js';

/**
 * The inverse of each of `count` matrices `[dim, dim]`, row-major, in float64 on the host.
 * @returns float32 `[count, dim, dim]`; undefined if a matrix is singular, or so nearly that rounding to float32 spoils its inverse.
 */
export function inverses(matrices: Float32Array, count: number, dim: number): Float32Array | undefined {
  const inverted = new Float32Array(matrices.length);
  const identity = Float64Array.from({length: dim * dim}, (_, at) => (at % (dim + 1) === 0 ? 1 : 0));
  for (let i = 0; i < count; i++) {
    const matrix = matrices.subarray(i * dim * dim, (i + 1) * dim * dim);
    const found = Float32Array.from(solve64(matrix, identity, dim, dim));
    const isInverse = multiply64(found, matrix, dim, dim, dim).every(
      (number, at) => Math.abs(number - identity[at]!) < mostError,
    );
    if (!isInverse) return undefined;
    inverted.set(found, i * dim * dim);
  }
  return inverted;
}

/** Of an element of A^-1 A. */
const mostError = 0.1;
