import {randomFloats} from './random.js';

/** Of triplets or eigenvectors, relative to the largest value: what a backward stable decomposition keeps small. */
export interface DecompositionErrors {
  /** The largest error of a value. */
  readonly values: number;
  /** The largest element of `x - u diag(s) vt`. */
  readonly residual: number;
  /** The largest element of `u^T u - 1` and `vt vt^T - 1`. */
  readonly orthogonality: number;
}

/**
 * What a decomposition may err by on a backend: `tight` where it is in float64 and then rounded, and where it is in float32 what rotations or
 * reflections of rows and columns of such a length add up to, in units in the last place.
 */
export function roundingOn(backend: string, tight: number, length: number): number {
  return backend === 'webgpu' ? Math.max(tight, (length + 16) * 2 ** -24) : tight;
}

/** All in float64, row-major: x `[rows, columns]`, u `[rows, count]`, s `[count]`, vt `[count, columns]`. */
export function decompositionErrors(
  x: ArrayLike<number>,
  {u, s, vt}: {u: ArrayLike<number>; s: ArrayLike<number>; vt: ArrayLike<number>},
  expected: ArrayLike<number> = s,
): DecompositionErrors {
  const count = s.length;
  const [rows, columns] = [u.length / count, vt.length / count];
  const largest = largestOf(expected.length, i => expected[i]!) || 1;
  const sum = (length: number, term: (i: number) => number) => {
    let total = 0;
    for (let i = 0; i < length; i++) total += term(i);
    return total;
  };
  const identity = (i: number, j: number) => (i === j ? 1 : 0);
  return {
    values: largestOf(count, i => s[i]! - expected[i]!) / largest,
    residual: largestOf(rows * columns, at => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      return (x[at]! - sum(count, k => u[i * count + k]! * s[k]! * vt[k * columns + j]!)) / largest;
    }),
    orthogonality: largestOf(count * count, at => {
      const [i, j] = [Math.floor(at / count), at % count];
      const ofU = sum(rows, k => u[k * count + i]! * u[k * count + j]!) - identity(i, j);
      const ofV = sum(columns, k => vt[i * columns + k]! * vt[j * columns + k]!) - identity(i, j);
      return Math.max(Math.abs(ofU), Math.abs(ofV));
    }),
  };
}

/** The largest magnitude; NaN if there is one. */
function largestOf(length: number, valueAt: (i: number) => number): number {
  let largest = 0;
  for (let i = 0; i < length; i++) {
    const value = Math.abs(valueAt(i));
    if (!(value <= largest)) largest = value;
    if (Number.isNaN(largest)) return NaN;
  }
  return largest;
}

/** A random matrix of some rank, each of whose numbers is at most some times `scale`. */
export function randomOfRank(
  seed: number,
  rows: number,
  columns: number,
  rank: number,
  scale = 1,
): Float32Array {
  const [left, right] = [randomFloats(seed, rows * rank), randomFloats(seed + 1, rank * columns)];
  return Float32Array.from({length: rows * columns}, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += left[i * rank + k]! * right[k * columns + j]!;
    return scale * sum;
  });
}
