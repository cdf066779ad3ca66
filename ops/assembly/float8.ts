import {maxOfLanes} from './math';

// Eight-bit floats as ops/forms.ts describes them: x ~ decode(code) * scale, four codes a word.
// A code without its sign, moved up to where float32 keeps exponent and mantissa, is the number times 2^-120 (e4m3) or
// 2^-112 (e5m2), subnormals included; multiplying by that power of two decodes it. Codes of NaN and infinity get their
// bits set afterwards.

export const e4m3: i32 = 0;

/** Four numbers from four codes in the topmost byte of each lane, the other bytes zero. */
// @ts-ignore: decorator
@inline
export function decodeTop4(codes: v128, format: i32): v128 {
  const sign = v128.and(codes, i32x4.splat(0x80000000));
  const rest = v128.andnot(codes, i32x4.splat(0x80000000));
  let value: v128, special: v128;
  if (format == e4m3) {
    value = f32x4.mul(i32x4.shr_u(rest, 4), f32x4.splat(reinterpret<f32>(0x7b800000))); // 2^120
    special = i32x4.eq(rest, i32x4.splat(0x7f000000));
  } else {
    value = f32x4.mul(i32x4.shr_u(rest, 3), f32x4.splat(reinterpret<f32>(0x77800000))); // 2^112
    special = v128.and(i32x4.gt_s(rest, i32x4.splat(0x7bffffff)), i32x4.splat(0x7f800000));
  }
  return v128.or(v128.or(value, special), sign);
}

/** One row of codes, decoded to `dim` floats at `out`. */
export function decodeFloat8Row(codes: usize, scale: f32, dim: i32, format: i32, out: usize): void {
  const scales = f32x4.splat(scale);
  const zero = i32x4.splat(0);
  let channel = 0;
  for (; channel + 16 <= dim; channel += 16, codes += 16, out += 64) {
    const c = v128.load(codes);
    // each code's byte goes to the top of a lane of its own
    const c0 = v128.shuffle<u8>(c, zero, 16, 16, 16, 0, 16, 16, 16, 1, 16, 16, 16, 2, 16, 16, 16, 3);
    const c1 = v128.shuffle<u8>(c, zero, 16, 16, 16, 4, 16, 16, 16, 5, 16, 16, 16, 6, 16, 16, 16, 7);
    const c2 = v128.shuffle<u8>(c, zero, 16, 16, 16, 8, 16, 16, 16, 9, 16, 16, 16, 10, 16, 16, 16, 11);
    const c3 = v128.shuffle<u8>(c, zero, 16, 16, 16, 12, 16, 16, 16, 13, 16, 16, 16, 14, 16, 16, 16, 15);
    v128.store(out, f32x4.mul(decodeTop4(c0, format), scales));
    v128.store(out, f32x4.mul(decodeTop4(c1, format), scales), 16);
    v128.store(out, f32x4.mul(decodeTop4(c2, format), scales), 32);
    v128.store(out, f32x4.mul(decodeTop4(c3, format), scales), 48);
  }
  for (; channel < dim; channel++, codes++, out += 4) {
    const code = decodeTop4(i32x4.splat((<i32>load<u8>(codes)) << 24), format);
    store<f32>(out, f32x4.extract_lane(code, 0) * scale);
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

/** The code of one finite number, rounded to nearest even; beyond the format's largest number, that. */
function encodeFloat8(x: f32, format: i32): u32 {
  const sign = (reinterpret<u32>(x) >> 24) & 0x80;
  const absolute = abs(x);
  const bits = reinterpret<u32>(absolute);
  if (format == e4m3) {
    if (absolute < 0.015625) return sign | <u32>nearest(absolute * 512); // below 2^-6: steps of 2^-9
    const rounded = (bits + 0x7ffff + ((bits >> 20) & 1)) >> 20;
    return sign | min<u32>(rounded - (120 << 3), 0x7e);
  }
  if (absolute < 0.00006103515625) return sign | <u32>nearest(absolute * 65536); // below 2^-14: steps of 2^-16
  const rounded = (bits + 0xfffff + ((bits >> 21) & 1)) >> 21;
  return sign | min<u32>(rounded - (112 << 2), 0x7b);
}

/** The codes of x [rows, dim] under its rows' scales; every word is written. */
export function float8Codes(x: usize, scales: usize, codes: usize, rows: i32, dim: i32, format: i32): void {
  const words = (dim + 3) >> 2;
  for (let row = 0; row < rows; row++, scales += 4) {
    const scale = load<f32>(scales);
    for (let word = 0; word < words; word++, codes += 4) {
      let packed: u32 = 0;
      const channels = min(4, dim - 4 * word);
      for (let i = 0; i < channels; i++, x += 4) {
        if (scale != 0) packed |= encodeFloat8(load<f32>(x) / scale, format) << (8 * i);
      }
      store<u32>(codes, packed);
    }
  }
}
