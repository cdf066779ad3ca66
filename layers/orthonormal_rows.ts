import * as tf from '@tensorflow/tfjs';
import {seededRandom} from '../base/random.js';

/** Layers of equal sizes start with equal directions. */
const seed = 20;

/**
 * Random orthonormal rows per head, float32 `[heads, most, dim]`: `ranks[h]` of them for head h, then zeros. Gram-Schmidt on the
 * host, two passes, so that rows are orthonormal to rounding.
 */
export function orthonormalRows(
  ranks: readonly number[],
  [heads, most, dim]: [number, number, number],
): tf.Tensor3D {
  const random = seededRandom(seed);
  // a sum of three uniform numbers is close enough to a normal one
  const next = () => random() + random() + random() - 1.5;
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
