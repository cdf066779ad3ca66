// Codes and parameters as ops/encodings/integer.ts describes them: x ~ (code + zero) * scale, params = bfloat16 scale << 16 | zero.

/** Words of one row of codes. */
// @ts-ignore: decorator
@inline
export function rowWords(dim: i32, bits: i32): i32 {
  return (dim * bits + 31) >> 5;
}

// @ts-ignore: decorator
@inline
export function scaleOf(params: v128): v128 {
  return v128.and(params, i32x4.splat(0xffff0000));
}

// @ts-ignore: decorator
@inline
export function zeroOf(params: v128): v128 {
  return i32x4.shr_s(i32x4.shl(params, 16), 16);
}
