import {madd} from './math';
import {transpose} from './transpose';

// out = A B. A block of B is copied to scratch memory as panels of eight columns (zeros beyond the last column), then four rows of A
// at a time are multiplied by each panel: 4 x 8 sums stay in registers. The sums of a block begin with those of the former one.

/** Numbers of a block: 2 MiB. */
const numbersOfBlock: i32 = 1 << 19;
/** Columns of a block, which is read in runs of up to 32 KiB: with runs of 8 KiB of longer rows, 7 rows took half as long again. */
const columnsOfBlock: i32 = 8192;
/** Rows of A that are multiplied by a block: up to 128 KiB of a block's inner numbers, which stay in a second-level cache. */
const rowsOfPass: i32 = 128;

const panelColumns: i32 = 8;
/** Rows of a tile of sums. */
const tileRows: i32 = 4;
const tileBytes: usize = <usize>(tileRows * panelColumns) << 2;

/** Inner numbers of a block: a panel, up to 8 KiB, and four rows of A stay in a first-level cache. */
function depthOfBlock(inner: i32, columns: i32): i32 {
  return min(inner, max(128, min(256, numbersOfBlock / max(1, min(columns, columnsOfBlock)))));
}

/** Bytes of scratch memory: a tile of sums, a block of A if it is stored by columns, and a block of B. */
export function panelScratch(rows: i32, inner: i32, columns: i32, transposedA: i32): usize {
  const panels = (min(columns, columnsOfBlock) + panelColumns - 1) / panelColumns;
  const depth = depthOfBlock(inner, columns);
  const rowsBytes = transposedA ? (<usize>(min(rows, rowsOfPass) * depth)) << 2 : 0;
  return tileBytes + rowsBytes + <usize>panels * panelBytes(depth);
}

/** A line of cache more than the numbers: panels at equal distances of a power of two would share few lines of a cache. */
// @ts-ignore: decorator
@inline
function panelBytes(inner: i32): usize {
  return (<usize>inner << 5) + 64;
}

/** out [rows, columns] = A B, A [rows, inner], or stored as [inner, rows] if transposedA, and B [inner, columns]. */
export function multiplyByPanels(
  a: usize,
  transposedA: i32,
  b: usize,
  out: usize,
  scratch: usize,
  rows: i32,
  inner: i32,
  columns: i32,
): void {
  const outStride = <usize>columns << 2,
    innerBytes = <usize>inner << 2;
  const ownRows = scratch + tileBytes;
  const most = depthOfBlock(inner, columns);
  const panels = transposedA ? ownRows + ((<usize>(min(rows, rowsOfPass) * most)) << 2) : ownRows;
  if (inner == 0) memory.fill(out, 0, <usize>rows * outStride);
  for (let row = 0; row < rows; row += rowsOfPass) {
    const passRows = min(rowsOfPass, rows - row);
    for (let i = 0; i < inner; i += most) {
      const depth = min(most, inner - i);
      let from = a + <usize>row * innerBytes + (<usize>i << 2);
      let stride = innerBytes;
      if (transposedA) {
        const stored = a + ((<usize>i * <usize>rows + <usize>row) << 2);
        transpose(stored, <usize>rows << 2, depth, passRows, ownRows, <usize>depth << 2);
        from = ownRows;
        stride = <usize>depth << 2;
      }
      for (let column = 0; column < columns; column += columnsOfBlock) {
        const width = min(columnsOfBlock, columns - column);
        packColumns(b + ((<usize>i * <usize>columns + <usize>column) << 2), outStride, depth, width, panels);
        const to = out + <usize>row * outStride + (<usize>column << 2);
        multiplyBlock(from, stride, panels, to, outStride, scratch, passRows, depth, width, i > 0);
      }
    }
  }
}

/** out [rows, width] = A [rows, depth] times a block; added to what is there if `adds`. */
function multiplyBlock(
  a: usize,
  stride: usize,
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
    for (let row = 0; row < rows; row += tileRows, a0 += <usize>tileRows * stride, to += <usize>tileRows * outStride) {
      // beyond the last row the last one is used again, and its sums are not stored
      const last = min(tileRows, rows - row) - 1;
      const a1 = a0 + <usize>min(1, last) * stride;
      const a2 = a0 + <usize>min(2, last) * stride;
      const a3 = a0 + <usize>last * stride;
      const whole = last + 1 == tileRows && columns == panelColumns;
      multiplyTile(a0, a1, a2, a3, panels, depth, whole ? to : tile, whole ? outStride : 32, adds && whole);
      if (!whole) storePart(tile, to, outStride, last + 1, columns, adds);
    }
  }
}

/**
 * Four rows of `depth` numbers times a panel [depth, 8]: four rows of eight sums at `out`, which begin with what is there if `adds`.
 * In line, since a call with so many arguments, few of which stay in registers, took a fifth longer.
 */
// @ts-ignore: decorator
@inline
export function multiplyTile(
  a0: usize,
  a1: usize,
  a2: usize,
  a3: usize,
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
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
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
