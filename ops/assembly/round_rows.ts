import {countOf, Eight, Sixteen} from './counts';
import {blockInputs} from './packed_record';
import {integersOf, shifted} from './rounding';

// Rows of x, rounded for products with codes. A block of 32 numbers is unit X, nearly: stored are the integers X, the unit, and the
// sum of X as a float. Blocks are [blocks, rows], as products of several rows read them.

// The orders and widths of integers that products read; ops/linear/packed_wasm.ts knows these numbers.

/** int16, in order. */
export const inOrder: i32 = 0;
/** int16, of each eight inputs 0 2 1 3 4 6 5 7: codes of four bits leave their bytes in these pairs. */
export const inPairs: i32 = 1;
/** int8, in order. */
export const asBytes: i32 = 2;

/** Bytes of the integers of a block; the unit and the sum follow them. */
// @ts-ignore: decorator
@inline
export function integerBytes<XBits>(): usize {
  return (<usize>(blockInputs * countOf<XBits>())) >> 3;
}

/** Where the sum is, from the unit on. */
export const sumAt: usize = 4;
/** Bytes of the unit and the sum. */
export const unitBytes: usize = 8;

/** Blocks whose largest magnitude is smaller are taken for zeros: units and their inverses have to be normal numbers. */
const smallest: f32 = 1e-30;
const infinityBits: i32 = 0x7f800000;

/** Bytes of scratch memory for rounded rows, and for a copy of a row's last numbers. */
export function roundRowsScratch(rows: i32, inputs: i32, order: i32): usize {
  return roundedBytes(rows, inputs, order) + 128;
}

// @ts-ignore: decorator
@inline
function roundedBytes(rows: i32, inputs: i32, order: i32): usize {
  return <usize>((inputs + blockInputs - 1) / blockInputs) * <usize>rows * blockBytes(order);
}

// @ts-ignore: decorator
@inline
function blockBytes(order: i32): usize {
  return (order == asBytes ? integerBytes<Eight>() : integerBytes<Sixteen>()) + unitBytes;
}

/** x [rows, inputs] -> blocks [ceil(inputs / 32), rows] in scratch memory; inputs beyond the last are zeros. */
export function roundRows(x: usize, scratch: usize, rows: i32, inputs: i32, order: i32): void {
  const bytes = blockBytes(order);
  const step = <usize>rows * bytes;
  const whole = inputs / blockInputs;
  const rest = (<usize>(inputs % blockInputs)) << 2;
  const last = scratch + roundedBytes(rows, inputs, order);
  memory.fill(last, 0, 128);
  for (let row = 0; row < rows; row++) {
    let to = scratch + <usize>row * bytes;
    for (let i = 0; i < whole; i++, x += 128, to += step) roundBlock(x, to, order);
    if (rest == 0) continue;
    memory.copy(last, x, rest);
    roundBlock(last, to, order);
    x += rest;
  }
}

/** Integers up to 32,767, or 127. If a number is NaN or infinite, so that there is no unit, the unit is NaN and integers are zeros. */
function roundBlock(x: usize, to: usize, order: i32): void {
  const bytes = blockBytes(order) - unitBytes;
  const bits = largestMagnitude(x);
  const magnitude = reinterpret<f32>(bits);
  if (bits >= infinityBits || magnitude < smallest) {
    memory.fill(to, 0, bytes);
    store<f32>(to + bytes, bits >= infinityBits ? NaN : 0);
    store<f32>(to + bytes + sumAt, 0);
    return;
  }
  const levels: f32 = order == asBytes ? 127 : 32767;
  const inverse = f32x4.splat(levels / magnitude);
  const sums = order == asBytes ? roundToBytes(x, to, inverse) : roundToWords(x, to, inverse, order == inPairs);
  store<f32>(to + bytes, magnitude / levels);
  store<f32>(to + bytes + sumAt, <f32>sumOfIntegers(sums));
}

/** The largest magnitude of 32 numbers, as bits: their order is that of the numbers, and NaN is the largest. */
// @ts-ignore: decorator
@inline
function largestMagnitude(x: usize): i32 {
  const mask = i32x4.splat(0x7fffffff);
  let largest = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) largest = i32x4.max_s(largest, v128.and(v128.load(x + i), mask));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 1, 0, 3, 2));
  return i32x4.extract_lane(largest, 0);
}

/** The nearest integers of eight numbers. */
// @ts-ignore: decorator
@inline
function integers(x: usize, inverse: v128): v128 {
  const low = shifted(f32x4.mul(v128.load(x), inverse));
  const high = shifted(f32x4.mul(v128.load(x, 16), inverse));
  return integersOf(low, high);
}

/** Four sums of the integers. */
// @ts-ignore: decorator
@inline
function roundToWords(x: usize, to: usize, inverse: v128, paired: bool): v128 {
  const ones = i16x8.splat(1);
  let sums = i32x4.splat(0);
  for (let i: usize = 0; i < 64; i += 16) {
    let words = integers(x + 2 * i, inverse);
    sums = i32x4.add(sums, i32x4.dot_i16x8_s(words, ones));
    if (paired) words = v128.shuffle<i16>(words, words, 0, 2, 1, 3, 4, 6, 5, 7);
    v128.store(to + i, words);
  }
  return sums;
}

/** Four sums of the integers. */
// @ts-ignore: decorator
@inline
function roundToBytes(x: usize, to: usize, inverse: v128): v128 {
  const ones = i16x8.splat(1);
  let sums = i32x4.splat(0);
  for (let i: usize = 0; i < 32; i += 16) {
    const low = integers(x + 4 * i, inverse),
      high = integers(x + 4 * i + 32, inverse);
    sums = i32x4.add(sums, i32x4.dot_i16x8_s(i16x8.add(low, high), ones));
    v128.store(to + i, i8x16.narrow_i16x8_s(low, high));
  }
  return sums;
}

// @ts-ignore: decorator
@inline
function sumOfIntegers(sums: v128): i32 {
  const pairs = i32x4.add(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}
