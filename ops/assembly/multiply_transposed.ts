import {madd, sumsOfLanes} from './math';

// x w^T, both stored row by row: dot products of one or two rows of x with four rows of w, in registers. The four rows of w lie far
// apart, each in its quarter of w: four such streams are fetched ahead as fast as memory gives them, while four rows that follow
// each other took twice as long. The two loops are in line: as functions of their own they took a fifth longer.
// Both add in the same order, so that a row's sums do not depend on how many rows there are.

/** Bytes of rows of x that are multiplied before w is read again: they stay in a second-level cache. */
const bytesOfPass: i32 = 1 << 18;

/** Most rows of x that are multiplied before w is read again. */
export function rowsOfPass(dim: i32): i32 {
  return max(8, min(64, bytesOfPass / (max(dim, 1) << 2)));
}

/** out [rows, columns] = x [rows, dim] . w [columns, dim]^T. */
export function multiplyTransposed(x: usize, w: usize, out: usize, rows: i32, columns: i32, dim: i32): void {
  const rowBytes = <usize>dim << 2,
    outBytes = <usize>columns << 2;
  const most = rowsOfPass(dim);
  for (let row = 0; row < rows; row += most) {
    multiplyPass(x + <usize>row * rowBytes, w, out + <usize>row * outBytes, min(most, rows - row), columns, rowBytes);
  }
}

function multiplyPass(x: usize, w: usize, out: usize, rows: i32, columns: i32, rowBytes: usize): void {
  const outBytes = <usize>columns << 2;
  const quarter = columns >> 2;
  multiplyQuarters(x, w, <usize>quarter * rowBytes, out, <usize>quarter << 2, rows, quarter, rowBytes, outBytes);
  // columns that are left over: four times the same row of w, and the sums are stored at one place
  for (let column = quarter << 2; column < columns; column++) {
    const from = w + <usize>column * rowBytes;
    multiplyQuarters(x, from, 0, out + (<usize>column << 2), 0, rows, 1, rowBytes, outBytes);
  }
}

/** `count` columns of each quarter, whose rows of w are `far` bytes apart and their results `step`. */
function multiplyQuarters(
  x: usize, w: usize, far: usize, out: usize, step: usize, rows: i32, count: i32, rowBytes: usize, outBytes: usize,
): void {
  for (let column = 0; column < count; column++, w += rowBytes, out += 4) {
    let from = x;
    let to = out;
    let row = 0;
    for (; row + 2 <= rows; row += 2, from += 2 * rowBytes, to += 2 * outBytes) {
      dotTwoByFour(from, w, far, rowBytes, to, step, outBytes);
    }
    if (row < rows) dotOneByFour(from, w, far, rowBytes, to, step);
  }
}

// @ts-ignore: decorator
@inline
function dotTwoByFour(
  x: usize, w: usize, far: usize, rowBytes: usize, out: usize, step: usize, outBytes: usize,
): void {
  const vectorBytes = rowBytes & ~15;
  const x1 = x + rowBytes;
  const w1 = w + far,
    w2 = w1 + far,
    w3 = w2 + far;
  let a0 = f32x4.splat(0),
    a1 = a0,
    a2 = a0,
    a3 = a0,
    b0 = a0,
    b1 = a0,
    b2 = a0,
    b3 = a0;
  let i: usize = 0;
  for (; i < vectorBytes; i += 16) {
    const a = v128.load(x + i),
      b = v128.load(x1 + i);
    const c0 = v128.load(w + i);
    a0 = madd(a, c0, a0);
    b0 = madd(b, c0, b0);
    const c1 = v128.load(w1 + i);
    a1 = madd(a, c1, a1);
    b1 = madd(b, c1, b1);
    const c2 = v128.load(w2 + i);
    a2 = madd(a, c2, a2);
    b2 = madd(b, c2, b2);
    const c3 = v128.load(w3 + i);
    a3 = madd(a, c3, a3);
    b3 = madd(b, c3, b3);
  }
  let a = sumsOfLanes(a0, a1, a2, a3),
    b = sumsOfLanes(b0, b1, b2, b3);
  for (; i < rowBytes; i += 4) {
    const c = f32x4(load<f32>(w + i), load<f32>(w1 + i), load<f32>(w2 + i), load<f32>(w3 + i));
    a = madd(v128.load32_splat(x + i), c, a);
    b = madd(v128.load32_splat(x1 + i), c, b);
  }
  storeFour(out, step, a);
  storeFour(out + outBytes, step, b);
}

// @ts-ignore: decorator
@inline
function dotOneByFour(x: usize, w: usize, far: usize, rowBytes: usize, out: usize, step: usize): void {
  const vectorBytes = rowBytes & ~15;
  const w1 = w + far,
    w2 = w1 + far,
    w3 = w2 + far;
  let a0 = f32x4.splat(0),
    a1 = a0,
    a2 = a0,
    a3 = a0;
  let i: usize = 0;
  for (; i < vectorBytes; i += 16) {
    const a = v128.load(x + i);
    a0 = madd(a, v128.load(w + i), a0);
    a1 = madd(a, v128.load(w1 + i), a1);
    a2 = madd(a, v128.load(w2 + i), a2);
    a3 = madd(a, v128.load(w3 + i), a3);
  }
  let sums = sumsOfLanes(a0, a1, a2, a3);
  for (; i < rowBytes; i += 4) {
    const c = f32x4(load<f32>(w + i), load<f32>(w1 + i), load<f32>(w2 + i), load<f32>(w3 + i));
    sums = madd(v128.load32_splat(x + i), c, sums);
  }
  storeFour(out, step, sums);
}

/** A lane for each quarter. */
// @ts-ignore: decorator
@inline
function storeFour(out: usize, step: usize, sums: v128): void {
  v128.store32_lane(out, sums, 0);
  v128.store32_lane(out + step, sums, 1);
  v128.store32_lane(out + 2 * step, sums, 2);
  v128.store32_lane(out + 3 * step, sums, 3);
}
