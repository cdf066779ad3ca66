import {madd, sumOfLanes, sumsOfLanes} from './math';
import {transpose} from './transpose';

// Scores of queries against one tile of dense keys.

/** Tokens of a tile: of keys, of values, and of the scores between them. */
export const tileTokens: i32 = 64;
/** From this many rows of queries on, transposing the key tile (lanes = keys) costs less than it saves. */
export const rowsWorthTransposing: i32 = 8;

/** tile [count, dim] -> out [dim, tileTokens], zeros beyond count. */
export function transposeTile(tile: usize, count: i32, dim: i32, out: usize): void {
  const columnBytes = (<usize>tileTokens) << 2;
  transpose(tile, (<usize>dim) << 2, count, dim, out, columnBytes);
  const whole = (count + 7) & ~7; // scoreFourRows reads eight keys at a time
  for (let token = count; token < whole; token++) {
    for (let d = 0; d < dim; d++) store<f32>(out + <usize>d * columnBytes + ((<usize>token) << 2), 0);
  }
}

/** scores[r][j] = scale * q_r . k_j for four rows, eight keys at a time; out [4, tileTokens]. */
export function scoreFourRows(
  queries: usize,
  transposed: usize,
  dim: i32,
  count: i32,
  scale: f32,
  out: usize,
): void {
  const rowBytes = (<usize>dim) << 2;
  const columnBytes = (<usize>tileTokens) << 2;
  const scales = f32x4.splat(scale);
  for (let token = 0; token < count; token += 8) {
    let a0 = f32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let column = transposed + ((<usize>token) << 2);
    let q = queries;
    for (let d = 0; d < dim; d++, column += columnBytes, q += 4) {
      const k0 = v128.load(column),
        k1 = v128.load(column, 16);
      const qa = v128.load32_splat(q);
      a0 = madd(qa, k0, a0);
      a1 = madd(qa, k1, a1);
      const qb = v128.load32_splat(q + rowBytes);
      b0 = madd(qb, k0, b0);
      b1 = madd(qb, k1, b1);
      const qc = v128.load32_splat(q + 2 * rowBytes);
      c0 = madd(qc, k0, c0);
      c1 = madd(qc, k1, c1);
      const qd = v128.load32_splat(q + 3 * rowBytes);
      d0 = madd(qd, k0, d0);
      d1 = madd(qd, k1, d1);
    }
    const to = out + ((<usize>token) << 2);
    v128.store(to, f32x4.mul(a0, scales));
    v128.store(to, f32x4.mul(a1, scales), 16);
    v128.store(to + columnBytes, f32x4.mul(b0, scales));
    v128.store(to + columnBytes, f32x4.mul(b1, scales), 16);
    v128.store(to + 2 * columnBytes, f32x4.mul(c0, scales));
    v128.store(to + 2 * columnBytes, f32x4.mul(c1, scales), 16);
    v128.store(to + 3 * columnBytes, f32x4.mul(d0, scales));
    v128.store(to + 3 * columnBytes, f32x4.mul(d1, scales), 16);
  }
}

/** scores[r][j] = scale * q_r . k_j for any number of rows, up to three at a time; out [rows, tileTokens]. */
export function scoreRows(
  queries: usize,
  rows: i32,
  tile: usize,
  dim: i32,
  count: i32,
  scale: f32,
  out: usize,
): void {
  const rowBytes = (<usize>dim) << 2;
  const columnBytes = (<usize>tileTokens) << 2;
  let row = 0;
  for (; row + 3 <= rows; row += 3, queries += 3 * rowBytes, out += 3 * columnBytes) {
    scoreThreeRows(queries, tile, rowBytes, count, scale, out);
  }
  for (; row < rows; row++, queries += rowBytes, out += columnBytes) {
    scoreRow(queries, tile, dim, count, scale, out);
  }
}

/** Three rows, two keys at a time. */
function scoreThreeRows(q0: usize, tile: usize, rowBytes: usize, count: i32, scale: f32, out: usize): void {
  const columnBytes = (<usize>tileTokens) << 2;
  const vectorBytes = rowBytes & ~15;
  const q1 = q0 + rowBytes,
    q2 = q1 + rowBytes;
  let k0 = tile;
  let token = 0;
  for (; token + 2 <= count; token += 2, k0 += 2 * rowBytes, out += 8) {
    const k1 = k0 + rowBytes;
    let a0 = f32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const x = v128.load(k0 + i),
        y = v128.load(k1 + i);
      const a = v128.load(q0 + i);
      a0 = madd(a, x, a0);
      a1 = madd(a, y, a1);
      const b = v128.load(q1 + i);
      b0 = madd(b, x, b0);
      b1 = madd(b, y, b1);
      const c = v128.load(q2 + i);
      c0 = madd(c, x, c0);
      c1 = madd(c, y, c1);
    }
    let ab = sumsOfLanes(a0, a1, b0, b1);
    let cc = sumsOfLanes(c0, c1, c0, c1);
    for (let i = vectorBytes; i < rowBytes; i += 4) {
      const x = load<f32>(k0 + i),
        y = load<f32>(k1 + i);
      const keys = f32x4(x, y, x, y);
      const a = load<f32>(q0 + i),
        b = load<f32>(q1 + i);
      ab = madd(f32x4(a, a, b, b), keys, ab);
      cc = madd(v128.load32_splat(q2 + i), keys, cc);
    }
    ab = f32x4.mul(ab, f32x4.splat(scale));
    cc = f32x4.mul(cc, f32x4.splat(scale));
    v128.store64_lane(out, ab, 0);
    v128.store64_lane(out + columnBytes, ab, 1);
    v128.store64_lane(out + 2 * columnBytes, cc, 0);
  }
  if (token < count) {
    const dim = <i32>(rowBytes >> 2);
    scoreRow(q0, k0, dim, 1, scale, out);
    scoreRow(q1, k0, dim, 1, scale, out + columnBytes);
    scoreRow(q2, k0, dim, 1, scale, out + 2 * columnBytes);
  }
}

/** scores[j] = scale * q . k_j for one row, four keys at a time. */
export function scoreRow(query: usize, tile: usize, dim: i32, count: i32, scale: f32, out: usize): void {
  const rowBytes = (<usize>dim) << 2;
  const vectorBytes = rowBytes & ~15;
  let token = 0;
  for (; token + 4 <= count; token += 4) {
    const k0 = tile + <usize>token * rowBytes;
    const k1 = k0 + rowBytes,
      k2 = k1 + rowBytes,
      k3 = k2 + rowBytes;
    let a = f32x4.splat(0),
      b = a,
      c = a,
      d = a;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const q = v128.load(query + i);
      a = madd(q, v128.load(k0 + i), a);
      b = madd(q, v128.load(k1 + i), b);
      c = madd(q, v128.load(k2 + i), c);
      d = madd(q, v128.load(k3 + i), d);
    }
    let sums = sumsOfLanes(a, b, c, d);
    for (let i = vectorBytes; i < rowBytes; i += 4) {
      const q = v128.load32_splat(query + i);
      sums = madd(q, f32x4(load<f32>(k0 + i), load<f32>(k1 + i), load<f32>(k2 + i), load<f32>(k3 + i)), sums);
    }
    v128.store(out + ((<usize>token) << 2), f32x4.mul(sums, f32x4.splat(scale)));
  }
  for (; token < count; token++) {
    const key = tile + <usize>token * rowBytes;
    let sums = f32x4.splat(0);
    for (let i: usize = 0; i < vectorBytes; i += 16)
      sums = madd(v128.load(query + i), v128.load(key + i), sums);
    let sum = sumOfLanes(sums);
    for (let i = vectorBytes; i < rowBytes; i += 4) sum += load<f32>(query + i) * load<f32>(key + i);
    store<f32>(out + ((<usize>token) << 2), sum * scale);
  }
}
