import {countOf} from './counts';
import {madd} from './math';
import {sumAt} from './round_rows';

// What products of all packed formats share. A vector of dots has a lane for each of four outputs, or two lanes if x is int8. XBits,
// the bits of the integers of x, is a type: Sixteen, or Eight in engines with relaxed SIMD (see counts.ts).

/** dots + four bytes of codes of each of four outputs, two or four inputs, times the same inputs of x. */
// @ts-ignore: decorator
@inline
export function addDots<XBits>(dots: v128, codes: v128, x: v128): v128 {
  if (countOf<XBits>() == 16) return i32x4.add(dots, i32x4.dot_i16x8_s(codes, x));
  // codes of four bits are not negative, and 8 x 2 x 127 x 15 fits 16 bits: all engines give the same
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.add(dots, i16x8.relaxed_dot_i8x16_i7x16_s(x, codes));
  return dots;
}

/**
 * sums + unit (scale D + minimum S) of four outputs, from the sums D of codes times integers of x, and the sum S of those. Units
 * come last: products of scales and minima with integers neither overflow nor vanish.
 *
 * @param at address of the unit and the sum of a block of x.
 */
// @ts-ignore: decorator
@inline
export function addBlock<XBits, Minima>(sums: v128, dots: v128, scale: v128, minimum: v128, at: usize): v128 {
  if (countOf<XBits>() == 8) dots = i32x4.extadd_pairwise_i16x8_s(dots);
  let block = f32x4.mul(f32x4.convert_i32x4_s(dots), scale);
  if (countOf<Minima>() == 1) block = madd(v128.load32_splat(at, sumAt), minimum, block);
  return madd(block, v128.load32_splat(at), sums);
}

/**
 * Sums [rows, 8] -> the outputs of rows from `column` on, as many of eight as there are, plus bias and residual if there are any
 * (their addresses are not 0).
 */
export function storeOutputs(
  sums: usize,
  rows: i32,
  column: i32,
  columns: i32,
  bias: usize,
  residual: usize,
  out: usize,
): void {
  const rowBytes = (<usize>columns) << 2,
    bytes = (<usize>min(8, columns - column)) << 2;
  out += (<usize>column) << 2;
  if (bias) bias += (<usize>column) << 2;
  if (residual) residual += (<usize>column) << 2;
  for (let row = 0; row < rows; row++, sums += 32, out += rowBytes) {
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) {
      let sum = v128.load(sums + at);
      if (bias) sum = f32x4.add(sum, v128.load(bias + at));
      if (residual) sum = f32x4.add(sum, v128.load(residual + at));
      v128.store(out + at, sum);
    }
    for (; at < bytes; at += 4) {
      let sum = load<f32>(sums + at);
      if (bias) sum += load<f32>(bias + at);
      if (residual) sum += load<f32>(residual + at);
      store<f32>(out + at, sum);
    }
    if (residual) residual += rowBytes;
  }
}
