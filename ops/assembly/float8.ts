import {countOf, Five, Four} from './counts';
import {maxOfLanes} from './math';

// Eight-bit floats as ops/encodings/float8.ts describes them: x ~ decode(code) * scale, four codes a word.
// A code without its sign, moved up to the bits of float32's exponent and mantissa, is the number times 2^-120 (e4m3) or
// 2^-112 (e5m2), subnormals included; multiplying by that power of two decodes it. Codes of NaN and infinity get their
// bits set afterwards. Loops have the bits of the exponent as a type: see counts.ts.

const e4m3: i32 = 0;
const e5m2: i32 = 1;

/** The factor that turns a code's bits, in the place of a float32's, into its number. */
// @ts-ignore: decorator
@inline
function powerOf(format: i32): f32 {
  return reinterpret<f32>(format == e4m3 ? 0x7b800000 : 0x77800000); // 2^120, 2^112
}

/** Decodes `count` consecutive rows of codes to rows of `dim` floats. */
export function decodeFloat8Rows(codes: usize, scales: usize, count: i32, dim: i32, format: i32, out: usize): void {
  const codeBytes = <usize>((dim + 3) >> 2) << 2;
  const isPlain = !anySpecial(codes, <usize>count * codeBytes, format);
  for (let row = 0; row < count; row++, codes += codeBytes, scales += 4, out += <usize>dim << 2) {
    const scale = load<f32>(scales);
    // Both factors in one product if that is not infinite: as exact, since one is a power of two.
    const whole = isPlain && scale < 128 ? dim & ~7 : 0;
    if (format == e4m3) decodeEights<Four>(codes, whole, scale * powerOf(e4m3), out);
    else decodeEights<Five>(codes, whole, scale * powerOf(e5m2), out);
    for (let channel = <usize>whole; channel < <usize>dim; channel++) {
      store<f32>(out + (channel << 2), decode(load<u8>(codes + channel), format) * scale);
    }
  }
}

/** Whether a NaN or an infinity is among some codes. */
function anySpecial(codes: usize, bytes: usize, format: i32): bool {
  const largest = format == e4m3 ? 0x7e : 0x7b;
  const vectors = codes + (bytes & ~15),
    end = codes + bytes;
  let found = i8x16.splat(0);
  for (; codes < vectors; codes += 16) {
    found = v128.or(found, i8x16.gt_s(v128.and(v128.load(codes), i8x16.splat(0x7f)), i8x16.splat(<i8>largest)));
  }
  if (v128.any_true(found)) return true;
  for (; codes < end; codes++) if ((load<u8>(codes) & 0x7f) > largest) return true;
  return false;
}

/** Eight codes at a time, none of them a NaN or an infinity. */
// @ts-ignore: decorator
@inline
function decodeEights<ExponentBits>(codes: usize, channels: i32, factor: f32, out: usize): void {
  const bits = countOf<ExponentBits>();
  const zero = i32x4.splat(0);
  const factors = f32x4.splat(factor);
  for (const end = codes + <usize>channels; codes < end; codes += 8, out += 32) {
    // widened with its sign and moved up: the upper half of a float32, once copies of the sign are away
    const upper = v128.and(i16x8.shl(v128.load_ext<i8>(codes), bits), i16x8.splat(<i16>(bits == 4 ? 0x87f0 : 0x8fe0)));
    v128.store(out, f32x4.mul(v128.shuffle<u16>(zero, upper, 0, 8, 1, 9, 2, 10, 3, 11), factors));
    v128.store(out, f32x4.mul(v128.shuffle<u16>(zero, upper, 4, 12, 5, 13, 6, 14, 7, 15), factors), 16);
  }
}

/** The number of any code. */
function decode(code: u32, format: i32): f32 {
  const rest = code & 0x7f,
    sign = (code & 0x80) << 24;
  if (format == e4m3) return rest == 0x7f ? NaN : reinterpret<f32>(sign | (rest << 20)) * powerOf(e4m3);
  if (rest > 0x7b) return reinterpret<f32>(sign | (rest << 21) | 0x7f800000);
  return reinterpret<f32>(sign | (rest << 21)) * powerOf(e5m2);
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
  // half of what is cut off, less one if the last bit that stays is even: ties go to even
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
