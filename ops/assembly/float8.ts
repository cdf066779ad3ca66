import {maxOfLanes} from './math';

// Eight-bit floats as ops/forms.ts describes them: x ~ decode(code) * scale, four codes a word.
// A code without its sign, moved up to where float32 keeps exponent and mantissa, is the number times 2^-120 (e4m3) or
// 2^-112 (e5m2), subnormals included; multiplying by that power of two decodes it. Codes of NaN and infinity get their
// bits set afterwards.

const e4m3: i32 = 0;
const e5m2: i32 = 1;

/** What turns a code's bits, in the place of a float32's, into its number. */
// @ts-ignore: decorator
@inline
function powerOf(format: i32): f32 {
  return reinterpret<f32>(format == e4m3 ? 0x7b800000 : 0x77800000); // 2^120, 2^112
}

/** Codes in the topmost byte of each lane, the other bytes zero: their bits where float32 has them, the sign on top. */
// @ts-ignore: decorator
@inline
function inPlace(codes: v128, format: i32): v128 {
  if (format == e4m3) return v128.and(i32x4.shr_s(codes, 4), i32x4.splat(0x87f00000));
  return v128.and(i32x4.shr_s(codes, 3), i32x4.splat(0x8fe00000));
}

/** Four numbers of any codes. */
// @ts-ignore: decorator
@inline
function decodeTop4(codes: v128, format: i32): v128 {
  const rest = v128.andnot(codes, i32x4.splat(0x80000000));
  const special = format == e4m3
    ? i32x4.eq(rest, i32x4.splat(0x7f000000))
    : v128.and(i32x4.gt_s(rest, i32x4.splat(0x7bffffff)), i32x4.splat(0x7f800000));
  return v128.or(f32x4.mul(inPlace(codes, format), f32x4.splat(powerOf(format))), special);
}

/** Whether the first `channels` codes, a multiple of sixteen, have a NaN or an infinity among them. */
function anySpecial(codes: usize, channels: i32, format: i32): bool {
  const largest = i8x16.splat(format == e4m3 ? 0x7e : 0x7b);
  let found = i8x16.splat(0);
  for (const end = codes + <usize>channels; codes < end; codes += 16) {
    found = v128.or(found, i8x16.gt_s(v128.and(v128.load(codes), i8x16.splat(0x7f)), largest));
  }
  return v128.any_true(found);
}

/** One row of codes, decoded to `dim` floats at `out`. */
export function decodeFloat8Row(codes: usize, scale: f32, dim: i32, format: i32, out: usize): void {
  const whole = dim & ~15;
  // Both factors at once where their product is no infinity: as exact, since one is a power of two.
  if (scale < 128 && !anySpecial(codes, whole, format)) {
    if (format == e4m3) decode16s(codes, whole, scale * powerOf(e4m3), e4m3, out);
    else decode16s(codes, whole, scale * powerOf(e5m2), e5m2, out);
  } else {
    decodeSingly(codes, 0, whole, scale, format, out);
  }
  decodeSingly(codes, whole, dim, scale, format, out);
}

/** Sixteen codes at a time, none of them a NaN or an infinity. */
// @ts-ignore: decorator
@inline
function decode16s(codes: usize, channels: i32, factor: f32, format: i32, out: usize): void {
  const zero = i32x4.splat(0);
  const factors = f32x4.splat(factor);
  for (const end = codes + <usize>channels; codes < end; codes += 16, out += 64) {
    const c = v128.load(codes);
    // each code's byte goes to the top of a lane of its own
    const low = v128.shuffle<u8>(zero, c, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const high = v128.shuffle<u8>(zero, c, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const c0 = v128.shuffle<u16>(zero, low, 0, 8, 1, 9, 2, 10, 3, 11);
    const c1 = v128.shuffle<u16>(zero, low, 4, 12, 5, 13, 6, 14, 7, 15);
    const c2 = v128.shuffle<u16>(zero, high, 0, 8, 1, 9, 2, 10, 3, 11);
    const c3 = v128.shuffle<u16>(zero, high, 4, 12, 5, 13, 6, 14, 7, 15);
    v128.store(out, f32x4.mul(inPlace(c0, format), factors));
    v128.store(out, f32x4.mul(inPlace(c1, format), factors), 16);
    v128.store(out, f32x4.mul(inPlace(c2, format), factors), 32);
    v128.store(out, f32x4.mul(inPlace(c3, format), factors), 48);
  }
}

function decodeSingly(codes: usize, channel: i32, end: i32, scale: f32, format: i32, out: usize): void {
  for (; channel < end; channel++) {
    const code = decodeTop4(i32x4.splat((<i32>load<u8>(codes + <usize>channel)) << 24), format);
    store<f32>(out + ((<usize>channel) << 2), f32x4.extract_lane(code, 0) * scale);
  }
}

/** Decodes tokens `from .. from + count` of every head: out [heads, count, dim]. */
export function decodeFloat8(
  codes: usize,
  scales: usize,
  out: usize,
  heads: i32,
  rows: i32,
  from: i32,
  count: i32,
  dim: i32,
  format: i32,
): void {
  const codeBytes = <usize>((dim + 3) >> 2) << 2;
  for (let head = 0; head < heads; head++) {
    for (let token = from; token < from + count; token++, out += <usize>dim << 2) {
      const row = <usize>(head * rows + token);
      decodeFloat8Row(codes + row * codeBytes, load<f32>(scales + (row << 2)), dim, format, out);
    }
  }
}

/** The scale of each of `rows` rows of x: its largest magnitude over the format's largest number. */
export function float8Scales(x: usize, scales: usize, rows: i32, dim: i32, largest: f32): void {
  for (let row = 0; row < rows; row++, scales += 4) {
    let maxima = f32x4.splat(0);
    let channel = 0;
    for (; channel + 4 <= dim; channel += 4, x += 16) maxima = f32x4.max(maxima, f32x4.abs(v128.load(x)));
    let absolute = maxOfLanes(maxima);
    for (; channel < dim; channel++, x += 4) absolute = max(absolute, abs(load<f32>(x)));
    store<f32>(scales, absolute / largest);
  }
}

/** The codes of four finite numbers, rounded to nearest even; beyond the format's largest number, that. */
// @ts-ignore: decorator
@inline
function encode4(x: v128, format: i32): v128 {
  const sign = v128.and(i32x4.shr_u(x, 24), i32x4.splat(0x80));
  // half of what is cut off, less one where the last bit that stays is even: ties go to even
  const cut = format == e4m3 ? 20 : 21;
  const bias = format == e4m3 ? 120 << 3 : 112 << 2;
  const largest = format == e4m3 ? 0x7e : 0x7b;
  const magnitude = f32x4.abs(x);
  const lastBit = v128.and(i32x4.shr_u(magnitude, cut), i32x4.splat(1));
  const half = i32x4.splat((1 << (cut - 1)) - 1);
  const normal = i32x4.sub(i32x4.shr_u(i32x4.add(magnitude, i32x4.add(half, lastBit)), cut), i32x4.splat(bias));
  // below 2^-6 in steps of 2^-9, below 2^-14 in steps of 2^-16: adding 2^23 leaves the integer, rounded, in the lowest bits
  const steps = f32x4.mul(magnitude, f32x4.splat(format == e4m3 ? 512 : 65536));
  const magic = f32x4.splat(8388608);
  const subnormal = i32x4.sub(f32x4.add(steps, magic), magic);
  const small = f32x4.lt(magnitude, f32x4.splat(format == e4m3 ? 0.015625 : 0.00006103515625));
  return v128.or(sign, v128.bitselect(subnormal, i32x4.min_s(normal, i32x4.splat(largest)), small));
}

/** The codes of x [rows, dim] under its rows' scales; every word is written. */
export function float8Codes(x: usize, scales: usize, codes: usize, rows: i32, dim: i32, format: i32): void {
  const rowBytes = <usize>dim << 2;
  const codeBytes = <usize>((dim + 3) >> 2) << 2;
  for (let row = 0; row < rows; row++, scales += 4, x += rowBytes, codes += codeBytes) {
    const scale = load<f32>(scales);
    if (scale == 0) memory.fill(codes, 0, codeBytes);
    else if (format == e4m3) encodeRow(x, scale, dim, e4m3, codes);
    else encodeRow(x, scale, dim, e5m2, codes);
  }
}

// @ts-ignore: decorator
@inline
function encodeRow(x: usize, scale: f32, dim: i32, format: i32, codes: usize): void {
  const divisor = f32x4.splat(scale);
  const zero = i32x4.splat(0);
  let channel = 0;
  for (; channel + 4 <= dim; channel += 4, x += 16, codes += 4) {
    const code = encode4(f32x4.div(v128.load(x), divisor), format);
    const words = i16x8.narrow_i32x4_s(code, zero);
    v128.store32_lane(codes, i8x16.narrow_i16x8_u(words, zero), 0);
  }
  if (channel == dim) return;
  let packed: u32 = 0;
  for (let i = 0; channel < dim; channel++, i++, x += 4) {
    const code = encode4(f32x4.div(v128.load32_splat(x), divisor), format);
    packed |= <u32>i32x4.extract_lane(code, 0) << (8 * i);
  }
  store<u32>(codes, packed);
}
