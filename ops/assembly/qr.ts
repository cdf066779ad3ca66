// QR decomposition in float64 by Householder reflections (Golub and Van Loan, 5.2). Columns lie as rows.
//
// Scratch, in float64: columns [n, m], then q [min(m, n), m], rows padded to pairs; and diagonal [min(m, n)].
import {rowBytesOf, storeScaled} from './eigh';
import {addScaled64, dot64, loadRows64, scale64} from './rows64';

/** Bytes of scratch memory. */
export function qrScratch(m: i32, n: i32): usize {
  const count = min(m, n);
  return <usize>(n + count) * rowBytesOf(m) + rowBytesOf(count);
}

/** x [stack, m, n] -> out [stack, min(m, n), m + n]: rows (column of Q, row of R), R's diagonal not negative. */
export function qr(x: usize, out: usize, scratch: usize, stack: i32, m: i32, n: i32): void {
  const count = min(m, n);
  const rowBytes = rowBytesOf(m);
  const q = scratch + <usize>n * rowBytes;
  const diagonal = q + <usize>count * rowBytes;
  const bytes = (<usize>(count * (m + n))) << 2;
  for (let i = 0; i < stack; i++) {
    if (loadRows64(x, m, n, true, scratch, rowBytes)) {
      triangularize(scratch, n, count, rowBytes, q, diagonal);
      accumulate(q, count, rowBytes);
      storeFactors(scratch, q, diagonal, rowBytes, out, m, n);
    } else {
      for (let at: usize = 0; at < bytes; at += 4) store<f32>(out + at, NaN);
    }
    x += (<usize>(m * n)) << 2;
    out += bytes;
  }
}

/** Leaves the reflectors v_k of unit length in the rows of q, zero where nothing is to reflect, and R above the diagonal of the columns. */
function triangularize(
  columns: usize,
  n: i32,
  count: i32,
  rowBytes: usize,
  q: usize,
  diagonal: usize,
): void {
  for (let k = 0; k < count; k++) {
    const column = columns + <usize>k * rowBytes;
    const reflector = q + <usize>k * rowBytes;
    const at = (<usize>k) << 3;
    memory.copy(reflector, column, rowBytes);
    memory.fill(reflector, 0, at);
    const size = sqrt(dot64(reflector, reflector, rowBytes));
    const first = load<f64>(reflector + at);
    const image = first > 0 ? -size : size;
    store<f64>(diagonal + at, image);
    if (size == 0) continue;
    store<f64>(reflector + at, first - image);
    // |v|^2 = 2 size (size + |first|)
    scale64(reflector, 1 / sqrt(2 * size * (size + abs(first))), rowBytes);
    for (let j = k + 1; j < n; j++) reflect(columns + <usize>j * rowBytes, reflector, rowBytes);
  }
}

/** x -= 2 v (v . x). */
function reflect(x: usize, v: usize, rowBytes: usize): void {
  addScaled64(x, -2 * dot64(x, v, rowBytes), v, rowBytes);
}

/** Overwrites the reflectors, the last first, by the columns of Q: column k is H_0 .. H_k e_k. */
function accumulate(q: usize, count: i32, rowBytes: usize): void {
  for (let k = count - 1; k >= 0; k--) {
    const row = q + <usize>k * rowBytes;
    for (let j = k + 1; j < count; j++) reflect(q + <usize>j * rowBytes, row, rowBytes);
    const component = load<f64>(row + ((<usize>k) << 3));
    scale64(row, -2 * component, rowBytes);
    store<f64>(row + ((<usize>k) << 3), 1 - 2 * component * component);
  }
}

function storeFactors(
  columns: usize,
  q: usize,
  diagonal: usize,
  rowBytes: usize,
  out: usize,
  m: i32,
  n: i32,
): void {
  for (let i = 0; i < min(m, n); i++) {
    const at = (<usize>i) << 3;
    const sign: f64 = load<f64>(diagonal + at) < 0 ? -1 : 1;
    storeScaled(q + <usize>i * rowBytes, m, sign, out);
    out += (<usize>m) << 2;
    memory.fill(out, 0, (<usize>i) << 2);
    store<f32>(out + ((<usize>i) << 2), <f32>(sign * load<f64>(diagonal + at)));
    for (let j = i + 1; j < n; j++) {
      store<f32>(out + ((<usize>j) << 2), <f32>(sign * load<f64>(columns + <usize>j * rowBytes + at)));
    }
    out += (<usize>n) << 2;
  }
}
