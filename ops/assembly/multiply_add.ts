import {madd} from './math';

// out += a b in registers: rows of a are `aBytes` apart, those of out `outBytes`, and b [inner, columns] is contiguous.
// It adds weighted values, rebuilds keys from their latents and expands outputs by a basis.

/** out [rows, columns] += a [rows, inner] . b [inner, columns]. */
export function multiplyAdd(
  a: usize,
  aBytes: usize,
  b: usize,
  out: usize,
  outBytes: usize,
  rows: i32,
  inner: i32,
  columns: i32,
): void {
  let row = 0;
  for (; row + 4 <= rows; row += 4, a += 4 * aBytes, out += 4 * outBytes) {
    addFourRows(a, aBytes, b, out, outBytes, inner, columns);
  }
  if (row + 3 == rows) addThreeRows(a, aBytes, b, out, outBytes, inner, columns);
  else for (; row < rows; row++, a += aBytes, out += outBytes) addRow(a, b, out, inner, columns);
}

/** Four rows, eight columns at a time. */
export function addFourRows(
  a: usize,
  aBytes: usize,
  b: usize,
  out: usize,
  outBytes: usize,
  inner: i32,
  columns: i32,
): void {
  const rowBytes = (<usize>columns) << 2;
  let i: usize = 0;
  for (; i + 32 <= rowBytes; i += 32) {
    const to = out + i;
    const to1 = to + outBytes,
      to2 = to1 + outBytes,
      to3 = to2 + outBytes;
    let a0 = v128.load(to),
      a1 = v128.load(to, 16);
    let b0 = v128.load(to1),
      b1 = v128.load(to1, 16);
    let c0 = v128.load(to2),
      c1 = v128.load(to2, 16);
    let d0 = v128.load(to3),
      d1 = v128.load(to3, 16);
    let value = b + i;
    let w = a;
    for (let j = 0; j < inner; j++, value += rowBytes, w += 4) {
      const v0 = v128.load(value),
        v1 = v128.load(value, 16);
      const wa = v128.load32_splat(w);
      a0 = madd(wa, v0, a0);
      a1 = madd(wa, v1, a1);
      const wb = v128.load32_splat(w + aBytes);
      b0 = madd(wb, v0, b0);
      b1 = madd(wb, v1, b1);
      const wc = v128.load32_splat(w + 2 * aBytes);
      c0 = madd(wc, v0, c0);
      c1 = madd(wc, v1, c1);
      const wd = v128.load32_splat(w + 3 * aBytes);
      d0 = madd(wd, v0, d0);
      d1 = madd(wd, v1, d1);
    }
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to1, b0);
    v128.store(to1, b1, 16);
    v128.store(to2, c0);
    v128.store(to2, c1, 16);
    v128.store(to3, d0);
    v128.store(to3, d1, 16);
  }
  for (let row: usize = 0; row < 4; row++) {
    addColumns(a + row * aBytes, b, out + row * outBytes, inner, rowBytes, i);
  }
}

/** Three rows, eight columns at a time. */
function addThreeRows(
  a: usize,
  aBytes: usize,
  b: usize,
  out: usize,
  outBytes: usize,
  inner: i32,
  columns: i32,
): void {
  const rowBytes = (<usize>columns) << 2;
  let i: usize = 0;
  for (; i + 32 <= rowBytes; i += 32) {
    const to = out + i;
    const to1 = to + outBytes,
      to2 = to1 + outBytes;
    let a0 = v128.load(to),
      a1 = v128.load(to, 16);
    let b0 = v128.load(to1),
      b1 = v128.load(to1, 16);
    let c0 = v128.load(to2),
      c1 = v128.load(to2, 16);
    let value = b + i;
    let w = a;
    for (let j = 0; j < inner; j++, value += rowBytes, w += 4) {
      const v0 = v128.load(value),
        v1 = v128.load(value, 16);
      const wa = v128.load32_splat(w);
      a0 = madd(wa, v0, a0);
      a1 = madd(wa, v1, a1);
      const wb = v128.load32_splat(w + aBytes);
      b0 = madd(wb, v0, b0);
      b1 = madd(wb, v1, b1);
      const wc = v128.load32_splat(w + 2 * aBytes);
      c0 = madd(wc, v0, c0);
      c1 = madd(wc, v1, c1);
    }
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to1, b0);
    v128.store(to1, b1, 16);
    v128.store(to2, c0);
    v128.store(to2, c1, 16);
  }
  for (let row: usize = 0; row < 3; row++) {
    addColumns(a + row * aBytes, b, out + row * outBytes, inner, rowBytes, i);
  }
}

/** One row, sixteen columns at a time. */
export function addRow(a: usize, b: usize, out: usize, inner: i32, columns: i32): void {
  const rowBytes = (<usize>columns) << 2;
  let i: usize = 0;
  for (; i + 64 <= rowBytes; i += 64) {
    const to = out + i;
    let s0 = v128.load(to),
      s1 = v128.load(to, 16),
      s2 = v128.load(to, 32),
      s3 = v128.load(to, 48);
    let value = b + i;
    for (let j = 0; j < inner; j++, value += rowBytes) {
      const weight = v128.load32_splat(a + ((<usize>j) << 2));
      s0 = madd(weight, v128.load(value), s0);
      s1 = madd(weight, v128.load(value, 16), s1);
      s2 = madd(weight, v128.load(value, 32), s2);
      s3 = madd(weight, v128.load(value, 48), s3);
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
  }
  addColumns(a, b, out, inner, rowBytes, i);
}

/** The columns of one row from byte `i` on, four at a time, then one at a time. */
function addColumns(a: usize, b: usize, out: usize, inner: i32, rowBytes: usize, i: usize): void {
  for (; i + 16 <= rowBytes; i += 16) {
    let sums = v128.load(out + i);
    for (let j = 0; j < inner; j++) {
      const weight = v128.load32_splat(a + ((<usize>j) << 2));
      sums = madd(weight, v128.load(b + <usize>j * rowBytes + i), sums);
    }
    v128.store(out + i, sums);
  }
  for (; i < rowBytes; i += 4) {
    let sum = load<f32>(out + i);
    for (let j = 0; j < inner; j++)
      sum += load<f32>(a + ((<usize>j) << 2)) * load<f32>(b + <usize>j * rowBytes + i);
    store<f32>(out + i, sum);
  }
}
