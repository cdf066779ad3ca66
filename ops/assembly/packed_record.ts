import {countOf} from './counts';

// A record of packed weights, 8 outputs x 32 inputs, as ops/weights/formats.ts describes it: codes, scales, minima. Loops have
// what distinguishes the formats as types: Bits of a code, and how many Scales and Minima an output has (see counts.ts).

/** Formats by the numbers that callers know them by: `wasm` in ops/weights/formats.ts. */
export const packed4: i32 = 0;
export const packed8: i32 = 1;
export const packed8Min: i32 = 2;
export const packed8By16: i32 = 3;
export const float16: i32 = 4;
export const bfloat16: i32 = 5;
/** packed4 by rows of int8, only in engines with relaxed SIMD. */
export const packed4ByBytes: i32 = 6;

/** Inputs of a record. */
export const blockInputs: i32 = 32;
/** Outputs of a record. */
export const groupOutputs: i32 = 8;

// @ts-ignore: decorator
@inline
export function recordBytes<Bits, Scales, Minima>(): usize {
  return scalesAt<Bits>() + 16 * <usize>(countOf<Scales>() + countOf<Minima>());
}

/** Where scales are in a record; 16 bytes for each scale or minimum of its eight outputs. */
// @ts-ignore: decorator
@inline
export function scalesAt<Bits>(): usize {
  return 32 * <usize>countOf<Bits>();
}

/** Four finite float16 numbers as float32. */
// @ts-ignore: decorator
@inline
export function halves(at: usize): v128 {
  return halvesOf(i32x4.shl(v128.load_ext<u16>(at), 16));
}

/**
 * Four finite float16 numbers, in the upper halves of 32 bits, as float32. At the place of float32's exponent and mantissa, a number
 * is itself times 2^-112, subnormal numbers included; the copies of its sign below the highest bit are cleared.
 */
// @ts-ignore: decorator
@inline
export function halvesOf(upper: v128): v128 {
  const moved = v128.and(i32x4.shr_s(upper, 3), i32x4.splat(0x8fffffff));
  return f32x4.mul(moved, f32x4.splat(5.192296858534828e33));
}

/** The minima of four outputs; zeros if the format has none. */
// @ts-ignore: decorator
@inline
export function minima<Bits, Scales, Minima>(record: usize): v128 {
  if (countOf<Minima>() == 0) return f32x4.splat(0);
  return halves(record + scalesAt<Bits>() + 16 * <usize>countOf<Scales>());
}
