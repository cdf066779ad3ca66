import * as tf from '@tensorflow/tfjs';

/** Of the random directions: the same sizes start alike. */
const seed = 20;

/**
 * Random orthonormal rows for each head, float32 `[heads, most, dim]`: `ranks[h]` of them for head h, zeros behind. Gram-Schmidt
 * on the host, twice over, so that they are orthonormal to rounding.
 */
export function orthonormalRows(
  ranks: readonly number[],
  [heads, most, dim]: [number, number, number],
): tf.Tensor3D {
  const next = normalStream();
  const out = new Float32Array(heads * most * dim);
  for (let head = 0; head < heads; head++) {
    const rows: Float64Array[] = [];
    for (let r = 0; r < ranks[head]!; r++) {
      let row = Float64Array.from({length: dim}, next);
      for (let pass = 0; pass < 2; pass++) {
        for (const other of rows) {
          const along = dot(row, other);
          row = row.map((x, i) => x - along * other[i]!);
        }
      }
      const length = Math.sqrt(dot(row, row));
      rows.push(row.map(x => x / length));
      out.set(rows[r]!, (head * most + r) * dim);
    }
  }
  return tf.tensor3d(out, [heads, most, dim]);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

/** Sums of three uniform numbers (mulberry32, Tommy Ettinger, 2017): near enough to a normal distribution. */
function normalStream(): () => number {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => uniform() + uniform() + uniform() - 1.5;
}
