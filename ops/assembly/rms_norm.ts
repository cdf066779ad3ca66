import {madd, sumOfLanes} from './math';

/** out = x / sqrt(mean(x^2) + epsilon) * gain, row by row. */
export function rmsNorm(x: usize, gain: usize, out: usize, rows: i32, dim: i32, epsilon: f32): void {
  const bytes = (<usize>dim) << 2;
  const vectorBytes = bytes & ~15;
  for (let row = 0; row < rows; row++, x += bytes, out += bytes) {
    let squares = f32x4.splat(0);
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const value = v128.load(x + i);
      squares = madd(value, value, squares);
    }
    let sum = sumOfLanes(squares);
    for (let i = vectorBytes; i < bytes; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
    const factor: f32 =
      sum < Infinity ? 1 / sqrt<f32>(sum / <f32>dim + epsilon) : factorOfHuge(x, bytes, dim, epsilon);
    const factors = f32x4.splat(factor);
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), factors), v128.load(gain + i)));
    }
    for (let i = vectorBytes; i < bytes; i += 4)
      store<f32>(out + i, load<f32>(x + i) * factor * load<f32>(gain + i));
  }
}

/** 1 / sqrt(mean(x^2) + epsilon) of a row whose squares overflow float32. */
function factorOfHuge(x: usize, bytes: usize, dim: i32, epsilon: f32): f32 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) sum += <f64>load<f32>(x + i) * <f64>load<f32>(x + i);
  return <f32>(1 / sqrt<f64>(sum / <f64>dim + <f64>epsilon));
}
