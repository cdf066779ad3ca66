import {multiplyAdd} from './multiply_add';
import {multiplyTransposed} from './multiply_transposed';

/** out [heads, rows, rank] = x [heads, rows, dim] . basis [heads, rank, dim]^T, head by head. */
export function project(
  x: usize,
  basis: usize,
  out: usize,
  heads: i32,
  rows: i32,
  dim: i32,
  rank: i32,
): void {
  const xBytes = (<usize>(rows * dim)) << 2;
  const basisBytes = (<usize>(rank * dim)) << 2;
  const outBytes = (<usize>(rows * rank)) << 2;
  for (let head = 0; head < heads; head++, x += xBytes, basis += basisBytes, out += outBytes) {
    multiplyTransposed(x, basis, out, rows, rank, dim);
  }
}

/**
 * Turns partials of attention over latents, rows of `inner` + 2 floats, into partials over what they stand for, rows of
 * `dim` + 2 floats: output . basis + sum * mean, max + scale * shift, sum. Any of basis [heads, inner, dim], mean [heads, dim]
 * and shift [heads, rows] may be 0; without a basis, inner = dim.
 */
export function expandPartial(
  partial: usize,
  basis: usize,
  mean: usize,
  shift: usize,
  out: usize,
  heads: i32,
  rows: i32,
  inner: i32,
  dim: i32,
  scale: f32,
): void {
  const innerBytes = (<usize>inner) << 2,
    rowBytes = (<usize>dim) << 2;
  const partialBytes = innerBytes + 8,
    outBytes = rowBytes + 8;
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < rows; row++) {
      const from = partial + <usize>row * partialBytes;
      const to = out + <usize>row * outBytes;
      const sum = load<f32>(from + innerBytes, 4);
      if (basis) memory.fill(to, 0, rowBytes);
      else memory.copy(to, from, rowBytes);
      if (mean) {
        for (let i: usize = 0; i < rowBytes; i += 4) {
          store<f32>(to + i, load<f32>(to + i) + sum * load<f32>(mean + i));
        }
      }
      const moved = shift ? scale * load<f32>(shift + ((<usize>row) << 2)) : 0;
      store<f32>(to + rowBytes, load<f32>(from + innerBytes) + moved);
      store<f32>(to + rowBytes, sum, 4);
    }
    if (basis) {
      multiplyAdd(partial, partialBytes, basis, out, outBytes, rows, inner, dim);
      basis += (<usize>inner) * rowBytes;
    }
    if (mean) mean += rowBytes;
    if (shift) shift += (<usize>rows) << 2;
    partial += <usize>rows * partialBytes;
    out += <usize>rows * outBytes;
  }
}
