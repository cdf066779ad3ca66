import {EncodingDescriptor} from './encoding_descriptor';

// Codes of the kind `lloydMax` (ops/encodings/lloyd_max.ts has the layout): tiles of 16 tokens; a group of 8 channels of a head is
// one vector of 16 bytes, a byte per token, for each of its bits. Each byte has two nibbles. A nibble is a value of the plane of a
// channel of 4 bits, two channels of 2 bits or four of 1 bit, and `i8x16.swizzle` looks up any function of it for 16 tokens at once.
//
// What the descriptor's `layout` points to is written by ops/encodings/lloyd_max_wasm.ts: the address of what all layouts share;
// vectors per tile, of all heads; then for each head the vectors before it and the width of each group.

/** Tokens of a tile. */
export const codeTile: i32 = 16;
/** Channels of a group. */
export const groupChannels: i32 = 8;

// What all layouts share, an entry for each width from 0 to 8: for both planes, the look-up tables of their terms as 16-bit
// integers, in units of `levelUnit`: for each channel of a nibble 16 lower bytes and 16 upper ones; then the terms as floats,
// 16 for each plane. Behind the entries: the bytes of the scales 2^(r / 8 - 5), r from 0 to 15, the lowest first.

const tableBytes: usize = 128; // of a plane: up to four channels
export const termsAt: usize = 2 * tableBytes;
export const widthBytes: usize = termsAt + 128;
const scalesAt: usize = 9 * widthBytes;
/** Bytes of it that other kernels have tables of their own behind. */
export const sharedBytes: usize = scalesAt + 64;

/** All terms of levels are integers in this unit: 2^-10. */
export const levelUnit: f32 = 1.0 / 1024;

// @ts-ignore: decorator
@inline
export function sharedOf(encoding: EncodingDescriptor): usize {
  return <usize>load<u32>(<usize>encoding.layout);
}

/** Bits of the plane with the upper bits of a code; the bits of the lower plane are the rest. */
// @ts-ignore: decorator
@inline
export function upperBits(width: i32): i32 {
  return width >= 4 ? 4 : width == 3 ? 2 : width;
}

/** The largest level of a width in units of `levelUnit`. */
export function largestLevel(encoding: EncodingDescriptor, width: i32): f32 {
  const terms = sharedOf(encoding) + <usize>width * widthBytes + termsAt;
  const upper = upperBits(width);
  const lower: f32 = upper == width ? 0 : load<f32>(terms + (<usize>((1 << (width - upper)) - 1) << 2), 64);
  return (load<f32>(terms + (<usize>((1 << upper) - 1) << 2)) + lower) / levelUnit;
}

/** Bytes from a tile to the next. */
// @ts-ignore: decorator
@inline
export function tileStride(encoding: EncodingDescriptor): usize {
  return <usize>load<u32>(<usize>encoding.layout, 4) << 4;
}

/** The address of one head's part of the layout: the vectors before it, then its widths, 32 bits each. */
// @ts-ignore: decorator
@inline
export function headLayout(encoding: EncodingDescriptor, head: i32): usize {
  const words = 1 + encoding.dim / groupChannels;
  return <usize>encoding.layout + 8 + (<usize>((head % encoding.groupSize) * words) << 2);
}

/** Vectors of codes of one head. */
export function vectorsOf(encoding: EncodingDescriptor, head: i32): i32 {
  let vectors = 0;
  const widths = headLayout(encoding, head) + 4;
  for (let group = 0; group < encoding.dim / groupChannels; group++) vectors += load<i32>(widths + (<usize>group << 2));
  return vectors;
}

/** The address of the codes of one head in its first tile. */
export function firstCodes(encoding: EncodingDescriptor, head: i32): usize {
  const tiles = <usize>((head / encoding.groupSize) * encoding.dataRows);
  return <usize>encoding.data + tiles * tileStride(encoding) + (<usize>load<u32>(headLayout(encoding, head)) << 4);
}

/** The address of the three words of scales of one head in a tile. */
// @ts-ignore: decorator
@inline
function scaleWords(encoding: EncodingDescriptor, head: i32, tile: i32): usize {
  const kvHeads = encoding.groupSize;
  const row = (head / kvHeads) * encoding.paramRows + tile;
  return <usize>encoding.params + <usize>((row * kvHeads + (head % kvHeads)) * 12);
}

/** Eight numbers of two bits as eight bytes. */
// @ts-ignore: decorator
@inline
function spread(x: u64): u64 {
  x = (x | (x << 24)) & 0x000000ff000000ff;
  x = (x | (x << 12)) & 0x000f000f000f000f;
  return (x | (x << 6)) & 0x0303030303030303;
}

/** The scales of a tile's tokens as 16 floats: 2^(r / 8 - 5) by look-ups of r, the lower four bits, times 4^k, the upper two. */
export function readScales(encoding: EncodingDescriptor, head: i32, tile: i32, out: usize): void {
  const words = scaleWords(encoding, head, tile);
  const pairs = v128.load64_zero(words);
  const r = lowBytes(lowNibbles(pairs), highNibbles(pairs));
  const upper = load<u32>(words, 8);
  const k = i64x2(spread(<u64>(upper & 0xffff)), spread(<u64>(upper >> 16)));
  const bytes = sharedOf(encoding) + scalesAt;
  const b0 = swizzle(v128.load(bytes), r),
    b1 = swizzle(v128.load(bytes, 16), r),
    b2 = swizzle(v128.load(bytes, 32), r),
    b3 = i8x16.add(swizzle(v128.load(bytes, 48), r), k); // the byte of the upper seven bits of the exponent
  const low01 = lowBytes(b0, b1),
    high01 = highBytes(b0, b1),
    low23 = lowBytes(b2, b3),
    high23 = highBytes(b2, b3);
  v128.store(out, lowWords(low01, low23));
  v128.store(out, highWords(low01, low23), 16);
  v128.store(out, lowWords(high01, high23), 32);
  v128.store(out, highWords(high01, high23), 48);
}

/** Look-ups of sixteen numbers below 16. */
// @ts-ignore: decorator
@inline
export function swizzle(table: v128, indices: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(table, indices) : i8x16.swizzle(table, indices);
}

// @ts-ignore: decorator
@inline
export function lowBytes(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
export function highBytes(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// @ts-ignore: decorator
@inline
export function lowWords(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
export function highWords(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/**
 * The levels of one group of some tiles, `tileBytes` apart, as 16-bit integers in units of `levelUnit`: 16 tokens of each tile for each
 * of 8 channels, which are `stride` bytes apart. `tables` are those of its width, which is not 0.
 */
export function unpackGroup(codes: usize, tileBytes: usize, tiles: i32, width: i32, tables: usize, out: usize, stride: usize): void {
  if (width == 1) unpackOnes(codes, tileBytes, tiles, tables, out, stride, false);
  else if (width <= 3) unpackTwos(codes, tileBytes, tiles, tables, out, stride, false);
  else unpackFours(codes, tileBytes, tiles, tables, out, stride, false);
  const upper = upperBits(width);
  if (upper == width) return;
  codes += <usize>upper << 4;
  tables += tableBytes;
  if (width == 6) unpackTwos(codes, tileBytes, tiles, tables, out, stride, true);
  else if (width == 8) unpackFours(codes, tileBytes, tiles, tables, out, stride, true);
  else unpackOnes(codes, tileBytes, tiles, tables, out, stride, true);
}

// Planes of one, two and four bits; terms are stored, or added to what is there. The tables of all channels of a nibble stay in
// registers.

function unpackOnes(codes: usize, tileBytes: usize, tiles: i32, tables: usize, out: usize, stride: usize, add: bool): void {
  for (let channel: usize = 0; channel < 4; channel++, tables += 32, out += stride) {
    const lower = v128.load(tables),
      upper = v128.load(tables, 16);
    for (let tile: usize = 0; tile < <usize>tiles; tile++) {
      const bytes = v128.load(codes + tile * tileBytes),
        to = out + (tile << 5);
      storeTerms(lower, upper, lowNibbles(bytes), to, add);
      storeTerms(lower, upper, highNibbles(bytes), to + 4 * stride, add);
    }
  }
}

function unpackTwos(codes: usize, tileBytes: usize, tiles: i32, tables: usize, out: usize, stride: usize, add: bool): void {
  const lower0 = v128.load(tables),
    upper0 = v128.load(tables, 16),
    lower1 = v128.load(tables, 32),
    upper1 = v128.load(tables, 48);
  for (let vector = 0; vector < 2; vector++, codes += 16, out += 4 * stride) {
    let from = codes,
      to = out;
    for (let tile = 0; tile < tiles; tile++, from += tileBytes, to += 32) {
      const bytes = v128.load(from);
      const low = lowNibbles(bytes),
        high = highNibbles(bytes);
      storeTerms(lower0, upper0, low, to, add);
      storeTerms(lower1, upper1, low, to + stride, add);
      storeTerms(lower0, upper0, high, to + 2 * stride, add);
      storeTerms(lower1, upper1, high, to + 3 * stride, add);
    }
  }
}

function unpackFours(codes: usize, tileBytes: usize, tiles: i32, tables: usize, out: usize, stride: usize, add: bool): void {
  const lower = v128.load(tables),
    upper = v128.load(tables, 16);
  for (let vector = 0; vector < 4; vector++, codes += 16, out += 2 * stride) {
    let from = codes,
      to = out;
    for (let tile = 0; tile < tiles; tile++, from += tileBytes, to += 32) {
      const bytes = v128.load(from);
      storeTerms(lower, upper, lowNibbles(bytes), to, add);
      storeTerms(lower, upper, highNibbles(bytes), to + stride, add);
    }
  }
}

// @ts-ignore: decorator
@inline
function lowNibbles(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function highNibbles(bytes: v128): v128 {
  return v128.and(i16x8.shr_u(bytes, 4), i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function storeTerms(lower: v128, upper: v128, nibbles: v128, out: usize, add: bool): void {
  const low = swizzle(lower, nibbles),
    high = swizzle(upper, nibbles);
  let first = lowBytes(low, high),
    second = highBytes(low, high);
  if (add) {
    first = i16x8.add(first, v128.load(out));
    second = i16x8.add(second, v128.load(out, 16));
  }
  v128.store(out, first);
  v128.store(out, second, 16);
}

/** Bytes of scratch memory of `decodeLevels`: the scales of a tile, and the levels of a group. */
export const decodeBytes: usize = 64 + <usize>(groupChannels * codeTile * 2);

/** Decodes tokens `from .. from + count` of one head to rows of `dim` floats at `out`. */
export function decodeLevels(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, out: usize, scratch: usize): void {
  const widths = headLayout(encoding, head) + 4;
  const groups = <usize>(encoding.dim / groupChannels);
  const rowBytes = <usize>encoding.dim << 2;
  const shared = sharedOf(encoding),
    stride = tileStride(encoding);
  const levels = scratch + 64;
  const end = from + count;
  for (let tile = from / codeTile; tile * codeTile < end; tile++) {
    readScales(encoding, head, tile, scratch);
    for (let i: usize = 0; i < 64; i += 16) {
      v128.store(scratch + i, f32x4.mul(v128.load(scratch + i), f32x4.splat(levelUnit)));
    }
    const first = max(from - tile * codeTile, 0),
      last = min(end - tile * codeTile, codeTile);
    const rows = out + <usize>(tile * codeTile + first - from) * rowBytes;
    let codes = firstCodes(encoding, head) + <usize>tile * stride;
    for (let group: usize = 0; group < groups; group++) {
      const width = load<i32>(widths + (group << 2));
      const to = rows + (group << 5);
      if (width == 0) {
        for (let token: usize = 0; token < <usize>(last - first); token++) memory.fill(to + token * rowBytes, 0, 32);
        continue;
      }
      unpackGroup(codes, 0, 1, width, shared + <usize>width * widthBytes, levels, 2 * codeTile);
      storeTokens(levels, scratch, first, last, to, rowBytes);
      codes += <usize>width << 4;
    }
  }
}

/** Levels of a group, eight channels by sixteen tokens, times scales: tokens `first .. last` as rows of floats. */
function storeTokens(levels: usize, scales: usize, first: i32, last: i32, out: usize, rowBytes: usize): void {
  for (let half = first & ~7; half < last; half += 8) {
    transposeEight(levels + (<usize>half << 1));
    for (let token = max(half, first); token < min(half + 8, last); token++, out += rowBytes) {
      const ofToken = v128.load(levels + (<usize>half << 1) + (<usize>(token - half) << 5));
      const scale = v128.load32_splat(scales + (<usize>token << 2));
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(ofToken)), scale));
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(ofToken)), scale), 16);
    }
  }
}

/** Eight rows of eight numbers of 16 bits, 32 bytes apart, in place. */
function transposeEight(x: usize): void {
  for (let i = 0; i < 3; i++) {
    // rows r and r + 4 interleaved become rows 2r and 2r + 1: after three times, rows are columns
    const r0 = v128.load(x),
      r1 = v128.load(x, 32),
      r2 = v128.load(x, 64),
      r3 = v128.load(x, 96),
      r4 = v128.load(x, 128),
      r5 = v128.load(x, 160),
      r6 = v128.load(x, 192),
      r7 = v128.load(x, 224);
    v128.store(x, lowWords(r0, r4));
    v128.store(x, highWords(r0, r4), 32);
    v128.store(x, lowWords(r1, r5), 64);
    v128.store(x, highWords(r1, r5), 96);
    v128.store(x, lowWords(r2, r6), 128);
    v128.store(x, highWords(r2, r6), 160);
    v128.store(x, lowWords(r3, r7), 192);
    v128.store(x, highWords(r3, r7), 224);
  }
}
