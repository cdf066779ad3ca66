import {madd, sumOfLanes, sumsOfLanes} from './math';

// x w^T, both stored row by row: dot products of rows, four rows of w at a time, in registers with one or two rows of x.

/** Rows of x that are multiplied before w is read again: 64 rows of 576 floats stay in a second-level cache. */
const rowsPerPass: i32 = 64;

/** out [rows, vocab] = x [rows, dim] . w [vocab, dim]^T. */
export function lmHead(x: usize, w: usize, out: usize, rows: i32, vocab: i32, dim: i32): void {
  const rowBytes = (<usize>dim) << 2;
  for (let row = 0; row < rows; row += rowsPerPass) {
    multiplyTransposed(
      x + <usize>row * rowBytes,
      w,
      out + ((<usize>row * <usize>vocab) << 2),
      min(rowsPerPass, rows - row),
      vocab,
      dim,
    );
  }
}

/** out [rows, columns] = x [rows, dim] . w [columns, dim]^T; each row of w is read once. */
export function multiplyTransposed(x: usize, w: usize, out: usize, rows: i32, columns: i32, dim: i32): void {
  if (rows <= 0) return;
  const rowBytes = (<usize>dim) << 2;
  const outBytes = (<usize>columns) << 2;
  let column = 0;
  for (; column + 4 <= columns; column += 4, w += 4 * rowBytes, out += 16) {
    dotOneByFour(x, w, rowBytes, out);
    let row = 1;
    let from = x + rowBytes;
    let to = out + outBytes;
    for (; row + 2 <= rows; row += 2, from += 2 * rowBytes, to += 2 * outBytes) {
      dotTwoByFour(from, w, rowBytes, to, outBytes);
    }
    if (row < rows) dotOneByFour(from, w, rowBytes, to);
  }
  for (; column < columns; column++, w += rowBytes, out += 4) {
    for (let row = 0; row < rows; row++) {
      store<f32>(out + <usize>row * outBytes, sumOfLanes(dotLanes(x + <usize>row * rowBytes, w, rowBytes)));
    }
  }
}

function dotTwoByFour(x: usize, w: usize, rowBytes: usize, out: usize, outBytes: usize): void {
  const vectorBytes = rowBytes & ~15;
  const w1 = w + rowBytes,
    w2 = w1 + rowBytes,
    w3 = w2 + rowBytes;
  const x1 = x + rowBytes;
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
  v128.store(out, a);
  v128.store(out + outBytes, b);
}

/** One row by four, one after the other: a single stream of memory, which is fetched ahead twice as fast as four. */
function dotOneByFour(x: usize, w: usize, rowBytes: usize, out: usize): void {
  const a0 = dotLanes(x, w, rowBytes);
  const a1 = dotLanes(x, w + rowBytes, rowBytes);
  const a2 = dotLanes(x, w + 2 * rowBytes, rowBytes);
  const a3 = dotLanes(x, w + 3 * rowBytes, rowBytes);
  v128.store(out, sumsOfLanes(a0, a1, a2, a3));
}

/** Four numbers whose sum is the dot product of two rows. */
function dotLanes(x: usize, w: usize, rowBytes: usize): v128 {
  let a0 = f32x4.splat(0),
    a1 = a0,
    a2 = a0,
    a3 = a0;
  let i: usize = 0;
  for (; i + 64 <= rowBytes; i += 64) {
    a0 = madd(v128.load(x + i), v128.load(w + i), a0);
    a1 = madd(v128.load(x + i, 16), v128.load(w + i, 16), a1);
    a2 = madd(v128.load(x + i, 32), v128.load(w + i, 32), a2);
    a3 = madd(v128.load(x + i, 48), v128.load(w + i, 48), a3);
  }
  for (; i + 16 <= rowBytes; i += 16) a0 = madd(v128.load(x + i), v128.load(w + i), a0);
  for (; i < rowBytes; i += 4) {
    const product = load<f32>(x + i) * load<f32>(w + i);
    a1 = f32x4.add(a1, f32x4.replace_lane(f32x4.splat(0), 0, product));
  }
  return f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3));
}
