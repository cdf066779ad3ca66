import {madd} from './math';

// x w for few rows of x, w as it is stored, row by row: rows of w, times numbers of x, are added to results that stay in a
// first-level cache. w is read once, in two streams, its upper and its lower half: streams far apart are fetched ahead as fast as memory
// gives them, while rows that follow each other took twice as long.

/** Columns of w that are read at once. */
const columnsAtOnce: i32 = 2048;

/** out [rows, outputs] = x [rows, inputs] w [inputs, outputs]. */
export function multiplyByRows(x: usize, w: usize, out: usize, rows: i32, inputs: i32, outputs: i32): void {
  const outBytes = <usize>outputs << 2;
  memory.fill(out, 0, <usize>rows * outBytes);
  for (let column = 0; column < outputs; column += columnsAtOnce) {
    const offset = <usize>column << 2;
    addProducts(x, w + offset, out + offset, outBytes, rows, inputs, <usize>min(columnsAtOnce, outputs - column) << 2);
  }
}

/** `bytes` of each row of results += x times as many of each row of w; rows of both are `stride` bytes apart. */
function addProducts(x: usize, w: usize, out: usize, stride: usize, rows: i32, inputs: i32, bytes: usize): void {
  const xBytes = <usize>inputs << 2;
  const half = inputs >> 1;
  const far = <usize>half * stride;
  const farX = <usize>half << 2;
  for (let i = 0; i < half; i++, x += 4, w += stride) {
    let from = x;
    let to = out;
    let row = 0;
    for (; row + 4 <= rows; row += 4, from += 4 * xBytes, to += 4 * stride) {
      addTwoToFour(from, xBytes, farX, w, far, to, stride, bytes);
    }
    if (row + 2 <= rows) {
      addTwoToTwo(from, xBytes, farX, w, far, to, stride, bytes);
      row += 2;
      from += 2 * xBytes;
      to += 2 * stride;
    }
    if (row < rows) addTwo(from, farX, w, far, to, bytes);
  }
  if (inputs & 1) for (let row = 0; row < rows; row++) addOne(x + farX + <usize>row * xBytes, w + far, out + <usize>row * stride, bytes);
}

/** Four rows of results += two numbers of a row of x, `farX` bytes apart, times two rows of w, `far` bytes apart. */
function addTwoToFour(
  x: usize, xBytes: usize, farX: usize, w: usize, far: usize, out: usize, stride: usize, bytes: usize,
): void {
  const x1 = x + xBytes,
    x2 = x1 + xBytes,
    x3 = x2 + xBytes;
  const a0 = v128.load32_splat(x),
    b0 = v128.load32_splat(x + farX);
  const a1 = v128.load32_splat(x1),
    b1 = v128.load32_splat(x1 + farX);
  const a2 = v128.load32_splat(x2),
    b2 = v128.load32_splat(x2 + farX);
  const a3 = v128.load32_splat(x3),
    b3 = v128.load32_splat(x3 + farX);
  const out1 = out + stride,
    out2 = out1 + stride,
    out3 = out2 + stride;
  const farW = w + far;
  const vectors = bytes & ~15;
  for (let i: usize = 0; i < vectors; i += 16) {
    const wa = v128.load(w + i),
      wb = v128.load(farW + i);
    v128.store(out + i, madd(b0, wb, madd(a0, wa, v128.load(out + i))));
    v128.store(out1 + i, madd(b1, wb, madd(a1, wa, v128.load(out1 + i))));
    v128.store(out2 + i, madd(b2, wb, madd(a2, wa, v128.load(out2 + i))));
    v128.store(out3 + i, madd(b3, wb, madd(a3, wa, v128.load(out3 + i))));
  }
  if (vectors < bytes) {
    for (let row: usize = 0; row < 4; row++) {
      addTwo(x + row * xBytes, farX, w + vectors, far, out + row * stride + vectors, bytes - vectors);
    }
  }
}

/** Two rows of results. */
function addTwoToTwo(
  x: usize, xBytes: usize, farX: usize, w: usize, far: usize, out: usize, stride: usize, bytes: usize,
): void {
  const x1 = x + xBytes;
  const a0 = v128.load32_splat(x),
    b0 = v128.load32_splat(x + farX);
  const a1 = v128.load32_splat(x1),
    b1 = v128.load32_splat(x1 + farX);
  const out1 = out + stride;
  const farW = w + far;
  const vectors = bytes & ~15;
  for (let i: usize = 0; i < vectors; i += 16) {
    const wa = v128.load(w + i),
      wb = v128.load(farW + i);
    v128.store(out + i, madd(b0, wb, madd(a0, wa, v128.load(out + i))));
    v128.store(out1 + i, madd(b1, wb, madd(a1, wa, v128.load(out1 + i))));
  }
  if (vectors < bytes) {
    addTwo(x, farX, w + vectors, far, out + vectors, bytes - vectors);
    addTwo(x1, farX, w + vectors, far, out1 + vectors, bytes - vectors);
  }
}

/** A row of results. */
function addTwo(x: usize, farX: usize, w: usize, far: usize, out: usize, bytes: usize): void {
  const a = v128.load32_splat(x),
    b = v128.load32_splat(x + farX);
  const farW = w + far;
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    v128.store(out + i, madd(b, v128.load(farW + i), madd(a, v128.load(w + i), v128.load(out + i))));
    v128.store(out + i, madd(b, v128.load(farW + i, 16), madd(a, v128.load(w + i, 16), v128.load(out + i, 16))), 16);
  }
  for (; i + 16 <= bytes; i += 16) {
    v128.store(out + i, madd(b, v128.load(farW + i), madd(a, v128.load(w + i), v128.load(out + i))));
  }
  for (; i < bytes; i += 4) {
    const sum = madd(b, v128.load32_zero(farW + i), madd(a, v128.load32_zero(w + i), v128.load32_zero(out + i)));
    v128.store32_lane(out + i, sum, 0);
  }
}

/** A row of results += a number of x times a row of w. */
function addOne(x: usize, w: usize, out: usize, bytes: usize): void {
  const a = v128.load32_splat(x);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(out + i, madd(a, v128.load(w + i), v128.load(out + i)));
  for (; i < bytes; i += 4) v128.store32_lane(out + i, madd(a, v128.load32_zero(w + i), v128.load32_zero(out + i)), 0);
}
