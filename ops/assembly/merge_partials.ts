import {expOf, logOf} from './math';

/** Joins `count` partials (their addresses at `partials`), rows of dim + 2 floats, into normalised rows of dim floats. */
export function mergePartials(partials: usize, count: i32, out: usize, rows: i32, dim: i32): void {
  const columns = dim + 2;
  for (let row = 0; row < rows; row++, out += (<usize>dim) << 2) {
    const offset = (<usize>(row * columns)) << 2;
    let largest: f32 = -Infinity;
    for (let s = 0; s < count; s++) {
      largest = max(largest, load<f32>(<usize>load<u32>(partials + (s << 2)) + offset + ((<usize>dim) << 2)));
    }
    memory.fill(out, 0, (<usize>dim) << 2);
    if (largest == -Infinity) continue; // saw no token: zeros
    let sum: f32 = 0;
    for (let s = 0; s < count; s++) {
      const partial = <usize>load<u32>(partials + (s << 2)) + offset;
      const factor = expOf(load<f32>(partial + ((<usize>dim) << 2)) - largest);
      sum += factor * load<f32>(partial + ((<usize>dim) << 2), 4);
      for (let i: usize = 0; i < (<usize>dim) << 2; i += 4) {
        store<f32>(out + i, load<f32>(out + i) + factor * load<f32>(partial + i));
      }
    }
    const inverse: f32 = 1 / sum;
    for (let i: usize = 0; i < (<usize>dim) << 2; i += 4) store<f32>(out + i, load<f32>(out + i) * inverse);
  }
}

/** out [rows] = ln of the sum of all exp(scores) that `count` partials saw: max + ln(sum); -Infinity if none was seen. */
export function partialLogSum(partials: usize, count: i32, out: usize, rows: i32, dim: i32): void {
  const rowBytes = (<usize>(dim + 2)) << 2;
  let tail = (<usize>dim) << 2;
  for (let row = 0; row < rows; row++, out += 4, tail += rowBytes) {
    let largest: f32 = -Infinity;
    for (let s = 0; s < count; s++) {
      largest = max(largest, load<f32>(<usize>load<u32>(partials + (s << 2)) + tail));
    }
    let sum: f32 = 0;
    if (largest > -Infinity) {
      for (let s = 0; s < count; s++) {
        const state = <usize>load<u32>(partials + (s << 2)) + tail;
        sum += expOf(load<f32>(state) - largest) * load<f32>(state, 4);
      }
    }
    store<f32>(out, sum > 0 ? largest + logOf(sum) : -Infinity);
  }
}
