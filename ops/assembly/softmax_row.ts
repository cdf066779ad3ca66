import {expOf, expOf4, maxOfLanes, sumOfLanes} from './math';

/**
 * Turns the first `visible` scores of a row into weights exp(s - m') and the rest up to `count` into zeros; rescales the
 * row's state from its old maximum to m'. Scores after `count`, up to a multiple of four, may be overwritten.
 */
export function softmaxRow(scores: usize, visible: i32, count: i32, state: usize, dimV: i32): void {
  const tail = state + ((<usize>dimV) << 2);
  if (visible <= 0) {
    memory.fill(scores, 0, (<usize>count) << 2);
    return;
  }
  const whole = (visible + 3) & ~3;
  for (let j = visible; j < whole; j++) store<f32>(scores + ((<usize>j) << 2), -Infinity);
  let maxima = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) maxima = f32x4.pmax(maxima, v128.load(scores + ((<usize>j) << 2)));
  const oldMax = load<f32>(tail);
  const tileMax = maxOfLanes(maxima);
  const newMax = max(oldMax, tileMax);
  // if every score is -Infinity, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = f32x4.splat(newMax == -Infinity ? 0 : newMax);
  let sums = f32x4.splat(0);
  for (let j = 0; j < whole; j += 4) {
    const weights = expOf4(f32x4.sub(v128.load(scores + ((<usize>j) << 2)), shift));
    sums = f32x4.add(sums, weights);
    v128.store(scores + ((<usize>j) << 2), weights);
  }
  if (count > whole) memory.fill(scores + ((<usize>whole) << 2), 0, (<usize>(count - whole)) << 2);
  let sum = load<f32>(tail, 4);
  if (newMax != oldMax) {
    const factor = expOf(oldMax - newMax);
    sum *= factor;
    const factors = f32x4.splat(factor);
    let i: usize = 0;
    const bytes = (<usize>dimV) << 2;
    for (; i + 16 <= bytes; i += 16) v128.store(state + i, f32x4.mul(v128.load(state + i), factors));
    for (; i < bytes; i += 4) store<f32>(state + i, load<f32>(state + i) * factor);
    store<f32>(tail, newMax);
  }
  sum += sumOfLanes(sums);
  store<f32>(tail, sum, 4);
}
