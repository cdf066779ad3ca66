// Floats rounded to 16 bits, for integer multiply-adds. A row of numbers x is x = unit (X + rest), X integers up to 32,767 and
// rests up to 1/2; if that is not exact enough, the rests are rounded likewise: rest = R / 32,768, nearly.

/** What added to a small float32 leaves its nearest integer in the lowest bits: 1.5 * 2^23. */
const magic: f32 = 12582912;
const magicBits: i32 = 0x4b400000;

/** The largest integer that a number is rounded to. */
const largestInteger: f32 = 32767;
/** What one unit of a rounded rest is of one of the numbers. */
export const restUnit: f32 = 1.0 / 32768;

/** Which rows with these largest magnitudes can be rounded: units, those of rests too, must be normal numbers. */
// @ts-ignore: decorator
@inline
function areRoundable(largest: v128): v128 {
  return v128.and(f32x4.gt(largest, f32x4.splat(1e-28)), f32x4.lt(largest, f32x4.splat(1e33)));
}

/** Which rows have numbers, and none that can be rounded. */
// @ts-ignore: decorator
@inline
export function areSlow(largest: v128): v128 {
  return v128.andnot(f32x4.ne(largest, f32x4.splat(0)), areRoundable(largest));
}

/** What an integer stands for; 0 for rows that cannot be rounded. */
// @ts-ignore: decorator
@inline
export function unitsOf(largest: v128): v128 {
  return v128.and(f32x4.div(largest, f32x4.splat(largestInteger)), areRoundable(largest));
}

/** What numbers are multiplied by, before they are rounded. */
// @ts-ignore: decorator
@inline
export function inverseUnitsOf(largest: v128): v128 {
  return v128.and(f32x4.div(f32x4.splat(largestInteger), largest), areRoundable(largest));
}

/** Floats with their nearest integers in the lowest bits, for `integersOf`. */
// @ts-ignore: decorator
@inline
export function shifted(x: v128): v128 {
  return f32x4.add(x, f32x4.splat(magic));
}

/** The nearest integers, as floats. */
// @ts-ignore: decorator
@inline
export function wholeOf(shifted: v128): v128 {
  return f32x4.sub(shifted, f32x4.splat(magic));
}

/** The nearest integers of eight numbers, 16 bits each. */
// @ts-ignore: decorator
@inline
export function integersOf(low: v128, high: v128): v128 {
  const bits = i32x4.splat(magicBits);
  return i16x8.narrow_i32x4_s(i32x4.sub(low, bits), i32x4.sub(high, bits));
}

/** The nearest integers of four numbers and of four others, those of a lane side by side, 16 bits each. */
// @ts-ignore: decorator
@inline
export function pairsOf(first: v128, second: v128): v128 {
  return v128.or(v128.and(first, i32x4.splat(0xffff)), i32x4.shl(second, 16));
}

/** A rest, ready to be rounded. */
// @ts-ignore: decorator
@inline
export function shiftedRest(rest: v128): v128 {
  return shifted(f32x4.mul(rest, f32x4.splat(32768)));
}
