import {Matrix, inverse} from 'ml-matrix';

/**
 * The inverse of each of `count` matrices `[dim, dim]`, row-major, in float64 on the host.
 * @returns float32 `[count, dim, dim]`; undefined if a matrix is singular.
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
  return inverted.every(Number.isFinite) ? inverted : undefined;
}
