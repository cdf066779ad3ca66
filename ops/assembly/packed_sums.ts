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

/** Sums of eight outputs from `column` on, plus bias and residual if there are any (their addresses are not 0). */
// @ts-ignore: decorator
@inline
export function storeOutputs(
  low: v128,
  high: v128,
  column: i32,
  columns: i32,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
): void {
  const at = (<usize>column) << 2;
  if (column + 8 > columns) {
    storeLastOutputs(
      low,
      high,
      columns - column,
      bias ? bias + at : 0,
      residual ? residual + at : 0,
      out + at,
      scratch,
    );
    return;
  }
  if (bias) {
    low = f32x4.add(low, v128.load(bias + at));
    high = f32x4.add(high, v128.load(bias + at, 16));
  }
  if (residual) {
    low = f32x4.add(low, v128.load(residual + at));
    high = f32x4.add(high, v128.load(residual + at, 16));
  }
  v128.store(out + at, low);
  v128.store(out + at, high, 16);
}

/** The same of fewer than eight outputs, by 32 bytes of scratch memory. */
function storeLastOutputs(
  low: v128,
  high: v128,
  count: i32,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
): void {
  v128.store(scratch, low);
  v128.store(scratch, high, 16);
  for (let at: usize = 0; at < (<usize>count) << 2; at += 4) {
    let sum = load<f32>(scratch + at);
    if (bias) sum += load<f32>(bias + at);
    if (residual) sum += load<f32>(residual + at);
    store<f32>(out + at, sum);
  }
}
