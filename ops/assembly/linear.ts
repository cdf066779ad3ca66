import {multiplyMatrices, productScratch} from './matrix_product';

/** Bytes of scratch memory. */
export function linearScratch(rows: i32, inputs: i32, outputs: i32): usize {
  return productScratch(rows, inputs, outputs, 0, 0);
}

/**
 * out [rows, outputs] = x [rows, inputs] w [inputs, outputs] + bias [outputs] + residual [rows, outputs]. The address of a bias or
 * residual is 0 if there is none. They are added last: in a sum that began with a large residual, each product would be rounded to
 * the residual's digits.
 */
export function linear(
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
): void {
  const outBytes = <usize>outputs << 2;
  multiplyMatrices(x, 0, w, 0, out, scratch, rows, inputs, outputs);
  if (bias) for (let row: usize = 0; row < <usize>rows; row++) add(out + row * outBytes, bias, outBytes);
  if (residual) add(out, residual, <usize>rows * outBytes);
}

/** out += numbers, of `count` floats. */
export function addNumbers(out: usize, numbers: usize, count: i32): void {
  add(out, numbers, <usize>count << 2);
}

function add(out: usize, numbers: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), v128.load(numbers + i)));
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(out + i) + load<f32>(numbers + i));
}
