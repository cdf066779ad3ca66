import {madd} from './math';

// out = A B for each of `count` pairs of matrices. Eight columns of B are copied to scratch (zeros beyond the last column), then
// four rows of A at a time are multiplied by them: 4 x 8 sums stay in registers.

/** Bytes of scratch memory: eight columns of one B, and a tile of the result. */
export function batchedMatMulScratch(k: i32): usize {
  return (<usize>(8 * k + 32)) << 2;
}

/** A is [m, k], or [k, m] if transposeA; B is [k, n], or [n, k] if transposeB; out [m, n]. */
export function batchedMatMul(
  a: usize,
  b: usize,
  out: usize,
  scratch: usize,
  count: i32,
  m: i32,
  k: i32,
  n: i32,
  transposeA: i32,
  transposeB: i32,
): void {
  const rowStep: i32 = transposeA ? 1 : k;
  const innerStep: i32 = transposeA ? m : 1;
  const rowStride = (<usize>rowStep) << 2;
  const innerStride = (<usize>innerStep) << 2;
  const tile = scratch + ((<usize>k) << 5);
  for (let pair = 0; pair < count; pair++) {
    for (let column = 0; column < n; column += 8) {
      const columns = min(8, n - column);
      if (transposeB) packRows(b + ((<usize>(column * k)) << 2), k, columns, scratch);
      else packColumns(b + ((<usize>column) << 2), k, n, columns, scratch);
      for (let row = 0; row < m; row += 4) {
        const rows = min(4, m - row);
        // beyond the last row the last one is used again, and its sums are not stored
        const a0 = a + <usize>row * rowStride;
        const a1 = a0 + <usize>min(1, rows - 1) * rowStride;
        const a2 = a0 + <usize>min(2, rows - 1) * rowStride;
        const a3 = a0 + <usize>(rows - 1) * rowStride;
        const to = out + ((<usize>(row * n + column)) << 2);
        const whole = rows == 4 && columns == 8;
        multiplyTile(a0, a1, a2, a3, innerStride, scratch, k, whole ? to : tile, whole ? (<usize>n) << 2 : 32);
        if (!whole) {
          for (let r = 0; r < rows; r++) {
            memory.copy(to + ((<usize>(r * n)) << 2), tile + ((<usize>r) << 5), (<usize>columns) << 2);
          }
        }
      }
    }
    a += (<usize>(m * k)) << 2;
    b += (<usize>(k * n)) << 2;
    out += (<usize>(m * n)) << 2;
  }
}

/** b [k, n], `columns` columns from b on -> panel [k, 8]. */
function packColumns(b: usize, k: i32, n: i32, columns: i32, panel: usize): void {
  for (let i = 0; i < k; i++, b += (<usize>n) << 2, panel += 32) {
    if (columns == 8) {
      v128.store(panel, v128.load(b));
      v128.store(panel, v128.load(b, 16), 16);
    } else {
      for (let j = 0; j < 8; j++) {
        store<f32>(panel + ((<usize>j) << 2), j < columns ? load<f32>(b + ((<usize>j) << 2)) : 0);
      }
    }
  }
}

/** b [n, k], `rows` rows from b on -> panel [k, 8]. */
function packRows(b: usize, k: i32, rows: i32, panel: usize): void {
  for (let j = 0; j < 8; j++, b += (<usize>k) << 2, panel += 4) {
    for (let i = 0; i < k; i++) {
      store<f32>(panel + ((<usize>i) << 5), j < rows ? load<f32>(b + ((<usize>i) << 2)) : 0);
    }
  }
}

/** Four rows of A times the panel, to four rows of eight numbers at `out`, `outStride` bytes apart. */
export function multiplyTile(
  a0: usize,
  a1: usize,
  a2: usize,
  a3: usize,
  innerStride: usize,
  panel: usize,
  k: i32,
  out: usize,
  outStride: usize,
): void {
  let s00 = f32x4.splat(0),
    s01 = s00,
    s10 = s00,
    s11 = s00,
    s20 = s00,
    s21 = s00,
    s30 = s00,
    s31 = s00;
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(panel),
      b1 = v128.load(panel, 16);
    const v0 = v128.load32_splat(a0);
    s00 = madd(v0, b0, s00);
    s01 = madd(v0, b1, s01);
    const v1 = v128.load32_splat(a1);
    s10 = madd(v1, b0, s10);
    s11 = madd(v1, b1, s11);
    const v2 = v128.load32_splat(a2);
    s20 = madd(v2, b0, s20);
    s21 = madd(v2, b1, s21);
    const v3 = v128.load32_splat(a3);
    s30 = madd(v3, b0, s30);
    s31 = madd(v3, b1, s31);
    panel += 32;
    a0 += innerStride;
    a1 += innerStride;
    a2 += innerStride;
    a3 += innerStride;
  }
  v128.store(out, s00);
  v128.store(out, s01, 16);
  out += outStride;
  v128.store(out, s10);
  v128.store(out, s11, 16);
  out += outStride;
  v128.store(out, s20);
  v128.store(out, s21, 16);
  out += outStride;
  v128.store(out, s30);
  v128.store(out, s31, 16);
}
