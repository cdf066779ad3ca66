import {madd} from './math';

// out = A B. A block of B is copied to scratch memory as panels of eight columns (zeros beyond the last column), then four rows of A
// at a time are multiplied by each panel: 4 x 8 sums stay in registers. The sums of a block are added to those of the former one.

/** Inner numbers of a block: a panel, 8 KiB, and four rows of A stay in a first-level cache. */
const innerOfBlock: i32 = 256;
/** Columns of a block: B is read in runs of up to 8 KiB. With runs of 256 bytes, 8 rows took half as long again. */
const columnsOfBlock: i32 = 2048;
/** Rows of A that are multiplied by a block, 128 KiB of a block's inner numbers: they stay in a second-level cache. */
const rowsOfPass: i32 = 128;

const panelColumns: i32 = 8;
/** Columns and rows of a tile of sums. */
const tileRows: i32 = 4;
const tileBytes: usize = <usize>(tileRows * panelColumns) << 2;

/** Bytes of scratch memory: a tile of sums, and a block of B. */
export function productScratch(inner: i32, columns: i32): usize {
  const panels = (min(columns, columnsOfBlock) + panelColumns - 1) / panelColumns;
  return tileBytes + <usize>panels * panelBytes(min(inner, innerOfBlock));
}

/** A line of cache more than the numbers: panels at equal distances of a power of two would share few lines of a cache. */
// @ts-ignore: decorator
@inline
function panelBytes(inner: i32): usize {
  return (<usize>inner << 5) + 64;
}

/**
 * out [rows, columns] = A B. A is [rows, inner]: its rows are `rowStride` bytes apart, their numbers `innerStride`. B is stored as
 * [inner, columns], or as [columns, inner] if `transposed`. out is zeros if there are no inner numbers.
 */
export function multiplyMatrices(
  a: usize,
  rowStride: usize,
  innerStride: usize,
  b: usize,
  transposed: i32,
  out: usize,
  scratch: usize,
  rows: i32,
  inner: i32,
  columns: i32,
): void {
  const outStride = <usize>columns << 2;
  const panels = scratch + tileBytes;
  if (inner == 0) memory.fill(out, 0, <usize>rows * outStride);
  for (let row = 0; row < rows; row += rowsOfPass) {
    const passRows = min(rowsOfPass, rows - row);
    for (let i = 0; i < inner; i += innerOfBlock) {
      const depth = min(innerOfBlock, inner - i);
      const from = a + <usize>row * rowStride + <usize>i * innerStride;
      for (let column = 0; column < columns; column += columnsOfBlock) {
        const width = min(columnsOfBlock, columns - column);
        if (transposed) packRows(b + ((<usize>column * <usize>inner + <usize>i) << 2), <usize>inner << 2, depth, width, panels);
        else packColumns(b + ((<usize>i * <usize>columns + <usize>column) << 2), outStride, depth, width, panels);
        const to = out + <usize>row * outStride + (<usize>column << 2);
        multiplyBlock(from, rowStride, innerStride, panels, to, outStride, scratch, passRows, depth, width, i > 0);
      }
    }
  }
}

/** out [rows, width] = A [rows, depth] times a block; added to what is there if `adds`. */
function multiplyBlock(
  a: usize,
  rowStride: usize,
  innerStride: usize,
  panels: usize,
  out: usize,
  outStride: usize,
  tile: usize,
  rows: i32,
  depth: i32,
  width: i32,
  adds: bool,
): void {
  const step = panelBytes(depth);
  for (let column = 0; column < width; column += panelColumns, panels += step) {
    const columns = min(panelColumns, width - column);
    let a0 = a;
    let to = out + (<usize>column << 2);
    for (let row = 0; row < rows; row += tileRows, a0 += <usize>tileRows * rowStride, to += <usize>tileRows * outStride) {
      // beyond the last row the last one is used again, and its sums are not stored
      const last = min(tileRows, rows - row) - 1;
      const a1 = a0 + <usize>min(1, last) * rowStride;
      const a2 = a0 + <usize>min(2, last) * rowStride;
      const a3 = a0 + <usize>last * rowStride;
      const whole = last + 1 == tileRows && columns == panelColumns;
      // the only call, so that the compiler puts the tile's loop here: called from two places, it took a fifth longer
      multiplyTile(a0, a1, a2, a3, innerStride, panels, depth, whole ? to : tile, whole ? outStride : 32, adds && whole);
      if (!whole) storePart(tile, to, outStride, last + 1, columns, adds);
    }
  }
}

/** Four rows of A times a panel, to four rows of eight numbers at `out`. */
export function multiplyTile(
  a0: usize,
  a1: usize,
  a2: usize,
  a3: usize,
  innerStride: usize,
  panel: usize,
  depth: i32,
  out: usize,
  outStride: usize,
  adds: bool,
): void {
  let s00 = f32x4.splat(0),
    s01 = s00,
    s10 = s00,
    s11 = s00,
    s20 = s00,
    s21 = s00,
    s30 = s00,
    s31 = s00;
  const out1 = out + outStride,
    out2 = out1 + outStride,
    out3 = out2 + outStride;
  if (adds) {
    s00 = v128.load(out);
    s01 = v128.load(out, 16);
    s10 = v128.load(out1);
    s11 = v128.load(out1, 16);
    s20 = v128.load(out2);
    s21 = v128.load(out2, 16);
    s30 = v128.load(out3);
    s31 = v128.load(out3, 16);
  }
  const end = panel + (<usize>depth << 5);
  while (panel < end) {
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
  v128.store(out1, s10);
  v128.store(out1, s11, 16);
  v128.store(out2, s20);
  v128.store(out2, s21, 16);
  v128.store(out3, s30);
  v128.store(out3, s31, 16);
}

/** The rows and columns of a tile that belong to the result. */
function storePart(tile: usize, out: usize, outStride: usize, rows: i32, columns: i32, adds: bool): void {
  for (let row = 0; row < rows; row++, tile += 32, out += outStride) {
    for (let i: usize = 0; i < <usize>columns << 2; i += 4) {
      const sum = load<f32>(tile + i);
      store<f32>(out + i, adds ? load<f32>(out + i) + sum : sum);
    }
  }
}

/** `width` columns of `depth` rows from b on, `stride` bytes apart -> panels [depth, 8]. */
function packColumns(b: usize, stride: usize, depth: i32, width: i32, panels: usize): void {
  const step = panelBytes(depth);
  const whole = <usize>(width & ~7) << 2,
    rest = <usize>(width & 7) << 2;
  for (let i = 0; i < depth; i++, b += stride, panels += 32) {
    let to = panels;
    for (let column: usize = 0; column < whole; column += 32, to += step) {
      v128.store(to, v128.load(b + column));
      v128.store(to, v128.load(b + column, 16), 16);
    }
    if (rest) {
      memory.fill(to, 0, 32);
      memory.copy(to, b + whole, rest);
    }
  }
}

/** `width` rows of `depth` numbers from b on, `stride` bytes apart -> panels [depth, 8]. */
function packRows(b: usize, stride: usize, depth: i32, width: i32, panels: usize): void {
  const step = panelBytes(depth);
  const vectorBytes = <usize>(depth & ~3) << 2,
    bytes = <usize>depth << 2;
  for (let column = 0; column < width; column += panelColumns, panels += step, b += <usize>panelColumns * stride) {
    const columns = min(panelColumns, width - column);
    let i: usize = 0;
    if (columns == panelColumns) {
      for (; i < vectorBytes; i += 16) {
        transposeFour(b + i, stride, panels + (i << 3));
        transposeFour(b + 4 * stride + i, stride, panels + (i << 3) + 16);
      }
    }
    for (; i < bytes; i += 4) {
      for (let j = 0; j < panelColumns; j++) {
        store<f32>(panels + (i << 3) + (<usize>j << 2), j < columns ? load<f32>(b + <usize>j * stride + i) : 0);
      }
    }
  }
}

/** Four numbers of four rows, as halves of four rows of a panel. */
// @ts-ignore: decorator
@inline
function transposeFour(from: usize, stride: usize, to: usize): void {
  const r0 = v128.load(from),
    r1 = v128.load(from + stride),
    r2 = v128.load(from + 2 * stride),
    r3 = v128.load(from + 3 * stride);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5),
    high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5),
    high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(to, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7), 32);
  v128.store(to, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5), 64);
  v128.store(to, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7), 96);
}
