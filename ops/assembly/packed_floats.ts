import {multiplyTile} from './panel_product';
import {countOf} from './counts';
import {madd} from './math';
import {blockInputs, groupOutputs, halvesOf} from './packed_record';
import {storeOutputs} from './packed_sums';

// Rows by weights of 16 bits, float16 or the upper half of float32 (bfloat16). They are widened to floats in registers for a few
// rows, and for more to a panel in scratch memory, which is then multiplied as float32 matrices are. ExponentBits, Five or Eight, is
// a type: see counts.ts.

/** Bytes of the 8 weights of an input. */
const inputBytes: usize = 16;
/** Rows that a panel pays for: without one, memory is read while numbers are multiplied, and not in turns. */
const panelRows: i32 = 4;
/** Bytes of a tile of sums, four rows of eight outputs. */
const tileBytes: usize = 128;

/** Bytes of scratch memory: a tile, and eight outputs of every input as float32. */
export function floatsScratch(rows: i32, inputs: i32): usize {
  return tileBytes + (rows < panelRows ? 0 : 2 * groupBytes(inputs));
}

/** Bytes from the records of eight outputs to those of the next. */
// @ts-ignore: decorator
@inline
function groupBytes(inputs: i32): usize {
  return <usize>((inputs + blockInputs - 1) & ~(blockInputs - 1)) * inputBytes;
}

/** The first or last four of eight weights, as upper halves of 32 bits, are numbers of bfloat16. */
// @ts-ignore: decorator
@inline
function widened<ExponentBits>(upper: v128): v128 {
  return countOf<ExponentBits>() == 8 ? upper : halvesOf(upper);
}

// @ts-ignore: decorator
@inline
function lowFour<ExponentBits>(weights: v128): v128 {
  return widened<ExponentBits>(v128.shuffle<u16>(i32x4.splat(0), weights, 0, 8, 1, 9, 2, 10, 3, 11));
}

// @ts-ignore: decorator
@inline
function highFour<ExponentBits>(weights: v128): v128 {
  return widened<ExponentBits>(v128.shuffle<u16>(i32x4.splat(0), weights, 4, 12, 5, 13, 6, 14, 7, 15));
}

/** The outputs of groups from .. to. */
// @ts-ignore: decorator
@inline
export function multiplyByFloats<ExponentBits>(
  x: usize,
  records: usize,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  from: i32,
  to: i32,
): void {
  const rowBytes = (<usize>inputs) << 2,
    outBytes = (<usize>outputs) << 2;
  const panel = scratch + tileBytes;
  let weights = records + <usize>from * groupBytes(inputs);
  for (let group = from; group < to; group++, weights += groupBytes(inputs)) {
    if (rows >= panelRows) widenGroup<ExponentBits>(weights, weights + groupBytes(inputs), panel);
    for (let row = 0; row < rows; row += 4) {
      const count = min(4, rows - row);
      const a = x + <usize>row * rowBytes;
      if (rows >= panelRows) {
        // beyond the last row the last one is used again
        const last = a + <usize>(count - 1) * rowBytes;
        const b = min(a + rowBytes, last),
          c = min(b + rowBytes, last);
        multiplyTile(a, b, c, last, panel, inputs, scratch, 32, false);
      } else {
        for (let r = 0; r < count; r++) {
          multiplyRow<ExponentBits>(a + <usize>r * rowBytes, weights, inputs, scratch + ((<usize>r) << 5));
        }
      }
      const at = <usize>row * outBytes;
      storeOutputs(scratch, count, group * groupOutputs, outputs, bias, residual ? residual + at : 0, out + at);
    }
  }
}

/** Weights from .. end -> floats. */
// @ts-ignore: decorator
@inline
export function widenGroup<ExponentBits>(from: usize, end: usize, to: usize): void {
  for (; from < end; from += 2 * inputBytes, to += 64) {
    const weights = v128.load(from),
      weights2 = v128.load(from, 16);
    v128.store(to, lowFour<ExponentBits>(weights));
    v128.store(to, highFour<ExponentBits>(weights), 16);
    v128.store(to, lowFour<ExponentBits>(weights2), 32);
    v128.store(to, highFour<ExponentBits>(weights2), 48);
  }
}

/** One row by the weights of eight outputs -> eight sums; several sums of each, since additions take longer than they are apart. */
// @ts-ignore: decorator
@inline
function multiplyRow<ExponentBits>(x: usize, weights: usize, inputs: i32, sums: usize): void {
  const end = x + ((<usize>inputs) << 2);
  let a0 = f32x4.splat(0),
    a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0;
  for (; x + 16 <= end; x += 16, weights += 4 * inputBytes) {
    let eight = v128.load(weights),
      number = v128.load32_splat(x);
    a0 = madd(number, lowFour<ExponentBits>(eight), a0);
    a1 = madd(number, highFour<ExponentBits>(eight), a1);
    eight = v128.load(weights, 16);
    number = v128.load32_splat(x, 4);
    b0 = madd(number, lowFour<ExponentBits>(eight), b0);
    b1 = madd(number, highFour<ExponentBits>(eight), b1);
    eight = v128.load(weights, 32);
    number = v128.load32_splat(x, 8);
    c0 = madd(number, lowFour<ExponentBits>(eight), c0);
    c1 = madd(number, highFour<ExponentBits>(eight), c1);
    eight = v128.load(weights, 48);
    number = v128.load32_splat(x, 12);
    d0 = madd(number, lowFour<ExponentBits>(eight), d0);
    d1 = madd(number, highFour<ExponentBits>(eight), d1);
  }
  for (; x < end; x += 4, weights += inputBytes) {
    const eight = v128.load(weights),
      number = v128.load32_splat(x);
    a0 = madd(number, lowFour<ExponentBits>(eight), a0);
    a1 = madd(number, highFour<ExponentBits>(eight), a1);
  }
  v128.store(sums, f32x4.add(f32x4.add(a0, b0), f32x4.add(c0, d0)));
  v128.store(sums, f32x4.add(f32x4.add(a1, b1), f32x4.add(c1, d1)), 16);
}
