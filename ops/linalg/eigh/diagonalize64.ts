import {addScaled64, dot64, rotate64} from '../rows64.js';

/** QL takes fewer than two sweeps an eigenvalue. */
const mostSweeps = 60;

/**
 * Eigendecomposition of a symmetric matrix in float64, on the host: Householder's tridiagonal form, then implicit QL with Wilkinson's shift
 * (Golub and Van Loan, Matrix Computations, 8.3; EISPACK's tred2 and tql2). Values are accurate to some 1e-15 of the largest.
 *
 * @param rows of the matrix, whose lower triangle is read, of about 1: squares must not overflow. They become its orthonormal eigenvectors.
 * @returns their eigenvalues, in no order.
 */
export function diagonalize64(rows: readonly Float64Array[]): Float64Array {
  const [diagonal, offDiagonal, halfNorms] = tridiagonalize(rows);
  accumulateReflectors(rows, halfNorms);
  // T[k, k - 1] moves to k - 1, as a sweep wants it
  offDiagonal.copyWithin(0, 1).fill(0, -1);
  const norm = diagonal.reduce((most, x, k) => Math.max(most, Math.abs(x) + Math.abs(offDiagonal[k]!)), 0);
  const isSplit = (k: number) => Math.abs(offDiagonal[k]!) <= Number.EPSILON * norm;
  for (let first = 0; first < rows.length; first++) {
    for (let sweeps = 0; sweeps < mostSweeps; sweeps++) {
      let last = first;
      while (last < rows.length - 1 && !isSplit(last)) last++;
      if (last === first) break;
      sweep(first, last, diagonal, offDiagonal, rows);
    }
  }
  return diagonal;
}

/**
 * A = Q T Q^T with Q = H_{dim-1} .. H_1 and H_k = I - v_k v_k^T / h_k. Leaves v_k in the first k numbers of row k.
 *
 * @returns T[k, k], T[k, k - 1], and h_k, which is 0 where nothing is reflected.
 */
function tridiagonalize(rows: readonly Float64Array[]): [Float64Array, Float64Array, Float64Array] {
  const dim = rows.length;
  const [diagonal, offDiagonal, halfNorms] = [0, 1, 2].map(() => new Float64Array(dim));
  for (let k = dim - 1; k > 0; k--) {
    diagonal![k] = rows[k]![k]!;
    const v = rows[k]!.subarray(0, k);
    const last = v[k - 1]!;
    const squares = dot64(v, v, k - 1);
    if (squares === 0) {
      offDiagonal![k] = last;
      continue;
    }
    const norm = Math.sqrt(squares + last * last);
    const signed = last > 0 ? norm : -norm;
    offDiagonal![k] = -signed;
    v[k - 1] = last + signed;
    halfNorms![k] = norm * (norm + Math.abs(last)); // v.v / 2
    reflectBothSides(rows, v, halfNorms![k]!);
  }
  diagonal![0] = rows[0]![0]!;
  return [diagonal!, offDiagonal!, halfNorms!];
}

/** H A H on the leading lower triangle of v's size: p = A v / h, w = p - (p.v / 2h) v, A -= v w^T + w v^T. */
function reflectBothSides(rows: readonly Float64Array[], v: Float64Array, half: number): void {
  const size = v.length;
  const w = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const row = rows[i]!;
    const vi = v[i]!;
    // the row of the triangle, and the column above its mirror
    for (let j = 0; j < i; j++) w[j]! += row[j]! * vi;
    w[i] = dot64(row, v, i + 1);
  }
  for (let i = 0; i < size; i++) w[i]! /= half;
  addScaled64(w, (-0.5 / half) * dot64(w, v), v);
  for (let i = 0; i < size; i++) {
    addScaled64(rows[i]!, -v[i]!, w, i + 1);
    addScaled64(rows[i]!, -w[i]!, v, i + 1);
  }
}

/** Overwrites the reflectors by Q^T = H_1 .. H_{dim-1}: of H_1 .. H_k only the leading k x k block is not the identity. */
function accumulateReflectors(rows: readonly Float64Array[], halfNorms: Float64Array): void {
  for (const [k, v] of rows.entries()) {
    const half = halfNorms[k]!;
    for (let i = 0; i < k; i++) {
      const row = rows[i]!;
      if (half !== 0) addScaled64(row, -dot64(row, v, k) / half, v, k);
      row[k] = 0;
    }
    v.fill(0);
    v[k] = 1;
  }
}

/** One QL sweep over rows first to last of T, from below; each rotation turns two eigenvectors. */
function sweep(
  first: number,
  last: number,
  diagonal: Float64Array,
  offDiagonal: Float64Array,
  vectors: readonly Float64Array[],
): void {
  const [d, e] = [diagonal, offDiagonal];
  const start = (d[first + 1]! - d[first]!) / (2 * e[first]!);
  const root = Math.sqrt(start * start + 1);
  let g = d[last]! - d[first]! + e[first]! / (start + (start >= 0 ? root : -root));
  let [sine, cosine, p] = [1, 1, 0];
  for (let i = last - 1; i >= first; i--) {
    const f = sine * e[i]!;
    const b = cosine * e[i]!;
    const r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // the matrix splits here: the next sweep goes on with a part
      d[i + 1]! -= p;
      e[last] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = d[i + 1]! - p;
    const t = (d[i]! - g) * sine + 2 * cosine * b;
    p = sine * t;
    d[i + 1] = g + p;
    g = cosine * t - b;
    rotate64(vectors[i]!, vectors[i + 1]!, cosine, sine);
  }
  d[first]! -= p;
  e[first] = g;
  e[last] = 0;
}
