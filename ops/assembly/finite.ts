import {sumOfLanes} from './math';

/** 1 if all numbers are finite: 0 * x is NaN for infinities and NaN, and 0 otherwise. */
export function allFinite(x: usize, count: i32): i32 {
  const bytes = (<usize>count) << 2;
  const vectorBytes = bytes & ~15;
  const zero = f32x4.splat(0);
  let sums = zero;
  for (let i: usize = 0; i < vectorBytes; i += 16) sums = f32x4.add(sums, f32x4.mul(v128.load(x + i), zero));
  let sum = sumOfLanes(sums);
  for (let i = vectorBytes; i < bytes; i += 4) sum += load<f32>(x + i) * 0;
  return sum == 0 ? 1 : 0;
}
