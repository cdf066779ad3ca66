import {madd} from './math';

// Rows z of z B = x, head by head: B is factorised, P B = L U (Gaussian elimination with partial pivoting, as in LAPACK's getrf), and each
// block of 16 rows solved with its numbers in the lanes of vectors.

const blockRows: i32 = 16;
const blockBytes: usize = <usize>blockRows << 2;

/** Bytes of scratch memory for matrices of n x n: the factors, the order of their rows, a block of x and one of z. */
export function solveRowsScratch(n: i32): i32 {
  return ((n * n + n) << 2) + 16 + 2 * n * <i32>blockBytes;
}

/** z [heads, rows, n] of x [heads, rows, n] and matrices [heads, n, n], n a multiple of 4. */
export function solveRows(x: usize, matrices: usize, out: usize, heads: i32, rows: i32, n: i32, scratch: usize): void {
  const rowBytes = <usize>n << 2;
  const order = scratch + <usize>n * rowBytes;
  const columns = (order + rowBytes + 15) & ~15,
    solved = columns + <usize>n * blockBytes;
  for (let head = 0; head < heads; head++, matrices += <usize>n * rowBytes) {
    memory.copy(scratch, matrices, <usize>n * rowBytes);
    factorise(scratch, order, n);
    for (let row = 0; row < rows; row += blockRows) {
      const some = min(blockRows, rows - row);
      readBlock(x, some, n, columns);
      solveUpper(scratch, n, columns);
      solveLower(scratch, n, columns);
      for (let i: usize = 0; i < <usize>n; i++) {
        memory.copy(solved + <usize>load<u32>(order + (i << 2)) * blockBytes, columns + i * blockBytes, blockBytes);
      }
      writeBlock(solved, some, n, out);
      x += <usize>some * rowBytes;
      out += <usize>some * rowBytes;
    }
  }
}

/** L, without its diagonal of ones, and U in place; `order` says which row of the matrix each of their rows was. */
function factorise(matrix: usize, order: usize, n: i32): void {
  const rowBytes = <usize>n << 2;
  for (let i = 0; i < n; i++) store<i32>(order + (<usize>i << 2), i);
  for (let k: usize = 0; k < <usize>n; k++) {
    const diagonal = matrix + k * (rowBytes + 4);
    let pivot = k,
      largest = abs(load<f32>(diagonal));
    let at = diagonal + rowBytes;
    for (let i = k + 1; i < <usize>n; i++, at += rowBytes) {
      const size = abs(load<f32>(at));
      if (size > largest) {
        largest = size;
        pivot = i;
      }
    }
    if (pivot != k) {
      swapRows(matrix + k * rowBytes, matrix + pivot * rowBytes, rowBytes);
      swapRows(order + (k << 2), order + (pivot << 2), 4);
    }
    const inverse: f32 = 1 / load<f32>(diagonal);
    const from = ((k + 1) << 2) & ~15; // of vectors; what lies before k is kept
    const pivotRow = matrix + k * rowBytes;
    const first = v128.load(pivotRow + from);
    const kept = i32x4.gt_s(i32x4.add(i32x4.splat(<i32>(from >> 2)), i32x4(0, 1, 2, 3)), i32x4.splat(<i32>k));
    let row = pivotRow + rowBytes;
    for (let i = k + 1; i < <usize>n; i++, row += rowBytes) {
      const factor = load<f32>(row + (k << 2)) * inverse;
      store<f32>(row + (k << 2), factor);
      if (from == rowBytes) continue;
      const factors = f32x4.splat(-factor);
      v128.store(row + from, v128.bitselect(madd(factors, first, v128.load(row + from)), v128.load(row + from), kept));
      for (let j = from + 16; j < rowBytes; j += 16) {
        v128.store(row + j, madd(factors, v128.load(pivotRow + j), v128.load(row + j)));
      }
    }
  }
}

function swapRows(a: usize, b: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 4) {
    const number = load<u32>(a + i);
    store<u32>(a + i, load<u32>(b + i));
    store<u32>(b + i, number);
  }
}

/** y of y U = x, column by column. */
function solveUpper(factors: usize, n: i32, columns: usize): void {
  const rowBytes = <usize>n << 2;
  for (let j: usize = 0; j < <usize>n; j++) {
    const inverse: f32 = 1 / load<f32>(factors + j * (rowBytes + 4));
    solveColumn(columns + j * blockBytes, columns, factors + (j << 2), rowBytes, j, f32x4.splat(inverse));
  }
}

/** w of w L = y, from the last column on. */
function solveLower(factors: usize, n: i32, columns: usize): void {
  const rowBytes = <usize>n << 2;
  for (let j = <usize>n; j > 0; j--) {
    const from = factors + j * rowBytes + ((j - 1) << 2);
    solveColumn(columns + (j - 1) * blockBytes, columns + j * blockBytes, from, rowBytes, <usize>n - j, f32x4.splat(1));
  }
}

/** (own - sum of `count` columns times factors, `step` bytes apart) times `inverse`. */
// @ts-ignore: decorator
@inline
function solveColumn(own: usize, columns: usize, factors: usize, step: usize, count: usize, inverse: v128): void {
  let a = v128.load(own),
    b = v128.load(own, 16),
    c = v128.load(own, 32),
    d = v128.load(own, 48);
  for (const end = columns + count * blockBytes; columns < end; columns += blockBytes, factors += step) {
    const factor = f32x4.neg(v128.load32_splat(factors));
    a = madd(factor, v128.load(columns), a);
    b = madd(factor, v128.load(columns, 16), b);
    c = madd(factor, v128.load(columns, 32), c);
    d = madd(factor, v128.load(columns, 48), d);
  }
  v128.store(own, f32x4.mul(a, inverse));
  v128.store(own, f32x4.mul(b, inverse), 16);
  v128.store(own, f32x4.mul(c, inverse), 32);
  v128.store(own, f32x4.mul(d, inverse), 48);
}

/** Rows as columns of 16 numbers, zeros behind them. */
function readBlock(x: usize, rows: i32, n: i32, columns: usize): void {
  memory.fill(columns, 0, <usize>n * blockBytes);
  for (let row: usize = 0; row < <usize>rows; row++) {
    for (let i: usize = 0; i < <usize>n; i++, x += 4) store<f32>(columns + i * blockBytes + (row << 2), load<f32>(x));
  }
}

function writeBlock(columns: usize, rows: i32, n: i32, out: usize): void {
  for (let row: usize = 0; row < <usize>rows; row++) {
    for (let i: usize = 0; i < <usize>n; i++, out += 4) store<f32>(out, load<f32>(columns + i * blockBytes + (row << 2)));
  }
}
