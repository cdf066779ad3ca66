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

/** Adds another partial, of other tokens, to a partial: both rows of dim + 2 floats. */
export function addPartial(partial: usize, other: usize, rows: i32, dim: i32): void {
  const bytes = (<usize>dim) << 2;
  for (let row = 0; row < rows; row++, partial += bytes + 8, other += bytes + 8) {
    const own = load<f32>(partial + bytes),
      added = load<f32>(other + bytes);
    const largest = max(own, added);
    if (largest == -Infinity) continue;
    const ownFactor = expOf(own - largest),
      factor = expOf(added - largest);
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const sum = f32x4.mul(f32x4.splat(ownFactor), v128.load(partial + i));
      v128.store(partial + i, f32x4.add(sum, f32x4.mul(f32x4.splat(factor), v128.load(other + i))));
    }
    for (; i < bytes; i += 4) store<f32>(partial + i, ownFactor * load<f32>(partial + i) + factor * load<f32>(other + i));
    store<f32>(partial + bytes, largest);
    store<f32>(partial + bytes, ownFactor * load<f32>(partial + bytes, 4) + factor * load<f32>(other + bytes, 4), 4);
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

/** The largest score and the sum of each row, [rows, 2], before any token. */
export function startSeen(seen: usize, rows: i32): void {
  for (const end = seen + (<usize>rows << 3); seen < end; seen += 8) {
    store<f32>(seen, -Infinity);
    store<f32>(seen, 0, 4);
  }
}

/** Adds the largest score and the sum of each row of a partial to those seen before, [rows, 2]: of more tokens then. */
export function addToSeen(seen: usize, partial: usize, rows: i32, dim: i32): void {
  let tail = partial + ((<usize>dim) << 2);
  for (let row = 0; row < rows; row++, seen += 8, tail += (<usize>(dim + 2)) << 2) {
    const before = load<f32>(seen),
      added = load<f32>(tail);
    const largest = max(before, added);
    if (largest == -Infinity) continue;
    const sum = load<f32>(seen, 4) * expOf(before - largest) + load<f32>(tail, 4) * expOf(added - largest);
    store<f32>(seen, largest);
    store<f32>(seen, sum, 4);
  }
}

/** out = seen, with largest scores less `scale` times a number of each row. */
export function shiftSeen(seen: usize, shift: usize, scale: f32, out: usize, rows: i32): void {
  for (let row = 0; row < rows; row++, seen += 8, out += 8, shift += 4) {
    store<f32>(out, load<f32>(seen) - scale * load<f32>(shift));
    store<f32>(out, load<f32>(seen, 4), 4);
  }
}
