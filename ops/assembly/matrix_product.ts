import {multiplyTransposed, rowsOfPass} from './multiply_transposed';
import {multiplyByPanels, panelScratch} from './panel_product';
import {multiplyByRows} from './row_product';
import {transpose} from './transpose';

// The product of two matrices, by the kernel that fits their layouts and the number of rows.

/** If A has more rows, a copy of B in panels pays. */
const mostRows: i32 = 6;

/** Bytes of scratch memory. */
export function productScratch(rows: i32, inner: i32, columns: i32, transposedA: i32, transposedB: i32): usize {
  if (transposedB) return transposedA ? (<usize>(min(rows, rowsOfPass(inner)) * inner)) << 2 : 0;
  return transposedA || rows > mostRows ? panelScratch(rows, inner, columns, transposedA) : 0;
}

/**
 * out [rows, columns] = A B. A is stored as [rows, inner], or as [inner, rows] if transposedA; B as [inner, columns], or as [columns,
 * inner] if transposedB.
 */
export function multiplyMatrices(
  a: usize,
  transposedA: i32,
  b: usize,
  transposedB: i32,
  out: usize,
  scratch: usize,
  rows: i32,
  inner: i32,
  columns: i32,
): void {
  if (transposedB) {
    if (transposedA) multiplyBothTransposed(a, b, out, scratch, rows, inner, columns);
    else multiplyTransposed(a, b, out, rows, columns, inner);
  } else if (transposedA || rows > mostRows) {
    multiplyByPanels(a, transposedA, b, out, scratch, rows, inner, columns);
  } else {
    multiplyByRows(a, b, out, rows, inner, columns);
  }
}

function multiplyBothTransposed(
  a: usize,
  b: usize,
  out: usize,
  scratch: usize,
  rows: i32,
  inner: i32,
  columns: i32,
): void {
  const most = rowsOfPass(inner);
  for (let row = 0; row < rows; row += most) {
    const count = min(most, rows - row);
    transpose(a + (<usize>row << 2), <usize>rows << 2, inner, count, scratch, <usize>inner << 2);
    multiplyTransposed(scratch, b, out + ((<usize>row * <usize>columns) << 2), count, columns, inner);
  }
}
