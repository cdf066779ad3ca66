import {madd} from './math';

// x w for few rows of x, w as it is stored, row by row: rows of w, times numbers of x, are added to the results. w is read once, in
// four streams, one in each quarter of its rows: streams far apart are fetched ahead as fast as memory gives them, while rows that
// follow each other took twice as long, as did runs of 8 KiB of longer rows. The two loops are in line: as functions of their own
// they took longer.

/** out [rows, outputs] = x [rows, inputs] w [inputs, outputs]. */
export function multiplyByRows(x: usize, w: usize, out: usize, rows: i32, inputs: i32, outputs: i32): void {
  const xBytes = <usize>inputs << 2,
    outBytes = <usize>outputs << 2;
  const quarter = inputs >> 2;
  const farX = <usize>quarter << 2;
  const far = <usize>quarter * outBytes;
  memory.fill(out, 0, <usize>rows * outBytes);
  for (let i = 0; i < quarter; i++, x += 4, w += outBytes) {
    let from = x;
    let to = out;
    let row = 0;
    for (; row + 2 <= rows; row += 2, from += 2 * xBytes, to += 2 * outBytes) {
      addFourToTwo(from, xBytes, farX, w, far, to, outBytes);
    }
    if (row < rows) addFour(from, farX, w, far, to, outBytes);
  }
  // rows of w that are left over
  x += 3 * farX;
  w += 3 * far;
  for (let i = inputs & 3; i > 0; i--, x += 4, w += outBytes) {
    for (let row = 0; row < rows; row++) addOne(x + <usize>row * xBytes, w, out + <usize>row * outBytes, outBytes);
  }
}

/** Two rows of results += four numbers of each row of x, `farX` bytes apart, times four rows of w, `far` bytes apart. */
// @ts-ignore: decorator
@inline
function addFourToTwo(x: usize, xBytes: usize, farX: usize, w: usize, far: usize, out: usize, bytes: usize): void {
  const y = x + xBytes;
  const xa = v128.load32_splat(x),
    xb = v128.load32_splat(x + farX),
    xc = v128.load32_splat(x + 2 * farX),
    xd = v128.load32_splat(x + 3 * farX);
  const ya = v128.load32_splat(y),
    yb = v128.load32_splat(y + farX),
    yc = v128.load32_splat(y + 2 * farX),
    yd = v128.load32_splat(y + 3 * farX);
  const w1 = w + far,
    w2 = w1 + far,
    w3 = w2 + far;
  const next = out + bytes;
  const vectors = bytes & ~15;
  for (let i: usize = 0; i < vectors; i += 16) {
    const a = v128.load(w + i);
    let s = madd(xa, a, v128.load(out + i)),
      t = madd(ya, a, v128.load(next + i));
    const b = v128.load(w1 + i);
    s = madd(xb, b, s);
    t = madd(yb, b, t);
    const c = v128.load(w2 + i);
    s = madd(xc, c, s);
    t = madd(yc, c, t);
    const d = v128.load(w3 + i);
    v128.store(out + i, madd(xd, d, s));
    v128.store(next + i, madd(yd, d, t));
  }
  if (vectors < bytes) {
    addFourToLast(x, farX, w, far, out, vectors, bytes);
    addFourToLast(y, farX, w, far, next, vectors, bytes);
  }
}

/** One row of results. */
// @ts-ignore: decorator
@inline
function addFour(x: usize, farX: usize, w: usize, far: usize, out: usize, bytes: usize): void {
  const xa = v128.load32_splat(x),
    xb = v128.load32_splat(x + farX),
    xc = v128.load32_splat(x + 2 * farX),
    xd = v128.load32_splat(x + 3 * farX);
  const w1 = w + far,
    w2 = w1 + far,
    w3 = w2 + far;
  const vectors = bytes & ~15;
  for (let i: usize = 0; i < vectors; i += 16) {
    let s = madd(xa, v128.load(w + i), v128.load(out + i));
    s = madd(xb, v128.load(w1 + i), s);
    s = madd(xc, v128.load(w2 + i), s);
    v128.store(out + i, madd(xd, v128.load(w3 + i), s));
  }
  if (vectors < bytes) addFourToLast(x, farX, w, far, out, vectors, bytes);
}

/** The numbers from byte `i` on of one row of results. */
function addFourToLast(x: usize, farX: usize, w: usize, far: usize, out: usize, i: usize, bytes: usize): void {
  for (; i < bytes; i += 4) {
    let sum = load<f32>(out + i);
    for (let part: usize = 0; part < 4; part++) {
      sum += load<f32>(x + part * farX) * load<f32>(w + part * far + i);
    }
    store<f32>(out + i, sum);
  }
}

/** A row of results += a number of x times a row of w. */
function addOne(x: usize, w: usize, out: usize, bytes: usize): void {
  const a = v128.load32_splat(x);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(out + i, madd(a, v128.load(w + i), v128.load(out + i)));
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(out + i) + load<f32>(x) * load<f32>(w + i));
}
