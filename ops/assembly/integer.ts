import {EncodingDescriptor} from './encoding_descriptor';
import {halvesOf} from './packed_record';

// Codes and parameters as ops/encodings/integer.ts describes them: x ~ (code + zero) * scale.

/** Bits of the upper plane of codes. */
// @ts-ignore: decorator
@inline
export function upperBits(bits: i32): i32 {
  return bits >= 8 ? 8 : bits >= 4 ? 4 : 2;
}

/** Bits of the lower plane: 0 if there is none. */
// @ts-ignore: decorator
@inline
export function lowerBits(bits: i32): i32 {
  return bits - upperBits(bits);
}

// @ts-ignore: decorator
@inline
function planeWords(dim: i32, bits: i32): i32 {
  return (dim * bits + 31) >> 5;
}

/** Words of one row of codes. */
// @ts-ignore: decorator
@inline
export function rowWords(dim: i32, bits: i32): i32 {
  return planeWords(dim, upperBits(bits)) + planeWords(dim, lowerBits(bits));
}

/** Bytes of the upper plane of one row of codes. */
// @ts-ignore: decorator
@inline
export function upperBytes(dim: i32, bits: i32): usize {
  return <usize>planeWords(dim, upperBits(bits)) << 2;
}

/** The scale of a group's word, as bits of a float32. */
// @ts-ignore: decorator
@inline
export function scaleBits(params: u32): u32 {
  return (params >> 1) & 0x7fff8000;
}

/** Scales of four groups. */
// @ts-ignore: decorator
@inline
export function scaleOf(params: v128): v128 {
  return v128.and(i32x4.shr_u(params, 1), i32x4.splat(0x7fff8000));
}

/** Zero points of four groups. */
// @ts-ignore: decorator
@inline
export function zeroOf(params: v128): v128 {
  return halvesOf(i32x4.shl(params, 16));
}

/** Sixteen codes in order, one a byte; `upper` and `lower` are where their planes begin. */
// @ts-ignore: decorator
@inline
export function codes16(upper: usize, lower: usize, bits: i32): v128 {
  const codes = plane16(upper, upperBits(bits));
  const shift = lowerBits(bits);
  if (shift == 0) return codes;
  const shifted = i16x8.shl(codes, shift); // no code reaches the byte above
  return shift == 1 ? i8x16.sub(shifted, bits16(lower)) : v128.or(shifted, plane16(lower, shift));
}

// @ts-ignore: decorator
@inline
function plane16(address: usize, bits: i32): v128 {
  if (bits == 8) return v128.load(address);
  if (bits == 4) return halves(v128.load64_zero(address), 4, 15);
  return halves(halves(v128.load32_zero(address), 4, 15), 2, 3);
}

/** Sixteen bits as bytes of 0 and -1. */
// @ts-ignore: decorator
@inline
function bits16(address: usize): v128 {
  const bytes = v128.load16_splat(address);
  const ofEach = v128.shuffle<u8>(bytes, bytes, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const bit = i64x2.splat(0x8040201008040201);
  return i8x16.eq(v128.and(ofEach, bit), bit);
}

/** The lower and the upper bits of the first eight bytes, interleaved. */
// @ts-ignore: decorator
@inline
function halves(x: v128, bits: i32, mask: u8): v128 {
  const low = v128.and(x, i8x16.splat(mask));
  const high = v128.and(i16x8.shr_u(x, bits), i8x16.splat(mask));
  return v128.shuffle<u8>(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

/** The code of one channel of a row. */
export function codeOf(codes: usize, channel: i32, dim: i32, bits: i32): i32 {
  const code = partOf(codes, channel, upperBits(bits));
  const shift = lowerBits(bits);
  return shift == 0 ? code : (code << shift) | partOf(codes + upperBytes(dim, bits), channel, shift);
}

// @ts-ignore: decorator
@inline
function partOf(plane: usize, channel: i32, bits: i32): i32 {
  const bit = channel * bits;
  return (<i32>load<u8>(plane + <usize>(bit >> 3)) >> (bit & 7)) & ((1 << bits) - 1);
}

// Attention takes codes of one plane as they are stored, and codes of two planes as bytes, widened tile by tile.

/** The bits of codes as attention takes them. */
// @ts-ignore: decorator
@inline
export function attendedBits(bits: i32): i32 {
  return lowerBits(bits) == 0 ? bits : 8;
}

/** Bytes from a token's codes to the next's, as attention takes them. */
// @ts-ignore: decorator
@inline
export function attendedBytes(dim: i32, bits: i32): usize {
  return lowerBits(bits) == 0 ? <usize>rowWords(dim, bits) << 2 : <usize>dim;
}

/** Codes of tokens `from .. from + count` of one head as attention takes them: in place, or one a byte at `scratch`. */
export function attendedCodes(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, scratch: usize): usize {
  const dim = encoding.dim,
    bits = encoding.layout & 0xff;
  const rowBytes = <usize>rowWords(dim, bits) << 2;
  const codes = <usize>encoding.data + <usize>(head * encoding.dataRows + from) * rowBytes;
  if (lowerBits(bits) == 0) return codes;
  if (bits == 3) widenCodes(codes, rowBytes, count, dim, 3, scratch);
  else if (bits == 5) widenCodes(codes, rowBytes, count, dim, 5, scratch);
  else widenCodes(codes, rowBytes, count, dim, 6, scratch);
  return scratch;
}

/** Rows of a multiple of 16 codes, one a byte. */
// @ts-ignore: decorator
@inline
function widenCodes(codes: usize, rowBytes: usize, count: i32, dim: i32, bits: i32, out: usize): void {
  const lowerAt = upperBytes(dim, bits);
  const upperStep = <usize>upperBits(bits) << 1,
    lowerStep = <usize>lowerBits(bits) << 1;
  for (const end = codes + <usize>count * rowBytes; codes < end; codes += rowBytes) {
    let upper = codes,
      lower = codes + lowerAt;
    for (const last = out + <usize>dim; out < last; out += 16, upper += upperStep, lower += lowerStep) {
      v128.store(out, codes16(upper, lower, bits));
    }
  }
}
