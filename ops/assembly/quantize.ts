import {rowWords, scaleOf, zeroOf} from './integer';
import {maxOfLanes} from './math';

/** A positive float32 rounded up to bfloat16, so that a group's range always fits its codes. */
// @ts-ignore: decorator
@inline
function roundUpToBfloat16(x: f32): u32 {
  return (reinterpret<u32>(x) + 0xffff) & 0xffff0000;
}

/** Scale (upper half) and zero point (lower half) of a group with these extremes. */
function parametersOf(low: f32, high: f32, bits: i32, symmetric: i32): u32 {
  const absolute = max(abs(low), abs(high));
  if (symmetric) {
    const scale = roundUpToBfloat16(absolute / <f32>((1 << (bits - 1)) - 1));
    return scale == 0 ? 0 : scale | ((-(1 << (bits - 1))) & 0xffff);
  }
  const scale = roundUpToBfloat16(max((high - low) / <f32>((1 << bits) - 1), absolute / 32767));
  if (scale == 0) return 0;
  const zero = <i32>max<f32>(-32768, min<f32>(32767, nearest(low / reinterpret<f32>(scale))));
  return scale | (zero & 0xffff);
}

// @ts-ignore: decorator
@inline
function codeOf(x: f32, params: u32, largest: i32): u32 {
  const scale = reinterpret<f32>(params & 0xffff0000);
  if (scale == 0) return 0;
  const zero = <i32>(params << 16) >> 16;
  return <u32>max(0, min(largest, <i32>nearest(x / scale) - zero));
}

/** The parameters of every group of x [heads, tokens, dim]. */
export function groupParameters(
  x: usize, params: usize, heads: i32, tokens: i32, dim: i32, bits: i32, alongChannels: i32, groupSize: i32, symmetric: i32,
): void {
  if (alongChannels) {
    for (let row = 0; row < heads * tokens; row++, x += <usize>dim << 2) {
      for (let first = 0; first < dim; first += groupSize, params += 4) {
        store<u32>(params, ofChannels(x + (<usize>first << 2), min(groupSize, dim - first), bits, symmetric));
      }
    }
    return;
  }
  const blockBytes = <usize>(groupSize * dim) << 2;
  for (let block = 0; block < heads * (tokens / groupSize); block++, x += blockBytes, params += <usize>dim << 2) {
    ofTokens(x, params, groupSize, dim, bits, symmetric);
  }
}

/** The parameters of one run of channels. */
function ofChannels(x: usize, length: i32, bits: i32, symmetric: i32): u32 {
  let lows = v128.load32_splat(x),
    highs = lows;
  let i = 0;
  for (; i + 4 <= length; i += 4, x += 16) {
    const value = v128.load(x);
    lows = f32x4.pmin(lows, value);
    highs = f32x4.pmax(highs, value);
  }
  for (; i < length; i++, x += 4) {
    const value = v128.load32_splat(x);
    lows = f32x4.pmin(lows, value);
    highs = f32x4.pmax(highs, value);
  }
  return parametersOf(-maxOfLanes(f32x4.neg(lows)), maxOfLanes(highs), bits, symmetric);
}

/** The parameters of each channel over a block of tokens, four channels at a time. */
function ofTokens(x: usize, params: usize, tokens: i32, dim: i32, bits: i32, symmetric: i32): void {
  const rowBytes = <usize>dim << 2;
  let channel = 0;
  for (; channel + 4 <= dim; channel += 4, x += 16, params += 16) {
    let lows = v128.load(x),
      highs = lows;
    for (let token: usize = 1; token < <usize>tokens; token++) {
      const value = v128.load(x + token * rowBytes);
      lows = f32x4.pmin(lows, value);
      highs = f32x4.pmax(highs, value);
    }
    store<u32>(params, parametersOf(f32x4.extract_lane(lows, 0), f32x4.extract_lane(highs, 0), bits, symmetric));
    store<u32>(params, parametersOf(f32x4.extract_lane(lows, 1), f32x4.extract_lane(highs, 1), bits, symmetric), 4);
    store<u32>(params, parametersOf(f32x4.extract_lane(lows, 2), f32x4.extract_lane(highs, 2), bits, symmetric), 8);
    store<u32>(params, parametersOf(f32x4.extract_lane(lows, 3), f32x4.extract_lane(highs, 3), bits, symmetric), 12);
  }
  for (; channel < dim; channel++, x += 4, params += 4) {
    let low = load<f32>(x),
      high = low;
    for (let token: usize = 1; token < <usize>tokens; token++) {
      const value = load<f32>(x + token * rowBytes);
      low = min(low, value);
      high = max(high, value);
    }
    store<u32>(params, parametersOf(low, high, bits, symmetric));
  }
}

/** The codes of x [heads, tokens, dim] under its groups' parameters; every word is written. */
export function packCodes(
  x: usize, params: usize, codes: usize, heads: i32, tokens: i32, dim: i32, bits: i32, alongChannels: i32, groupSize: i32,
): void {
  const codeBytes = <usize>rowWords(dim, bits) << 2;
  const paramBytes = <usize>(alongChannels ? (dim + groupSize - 1) / groupSize : dim) << 2;
  const tokensPerRow = alongChannels ? 1 : groupSize;
  // blocks of sixteen channels, each within one group or with parameters of its own
  const whole = alongChannels && groupSize % 16 ? 0 : dim & ~15;
  for (let row = 0; row < heads * tokens; row++, x += <usize>dim << 2, codes += codeBytes) {
    for (let channel = 0; channel < whole; channel += 16) {
      const p = params + (<usize>(alongChannels ? channel / groupSize : channel) << 2);
      const from = x + (<usize>channel << 2);
      if (alongChannels) {
        const group = v128.load32_splat(p);
        store16(pack16(from, group, group, group, group, (1 << bits) - 1), bits, codes + <usize>((channel * bits) >> 3));
      } else {
        const bytes = pack16(from, v128.load(p), v128.load(p, 16), v128.load(p, 32), v128.load(p, 48), (1 << bits) - 1);
        store16(bytes, bits, codes + <usize>((channel * bits) >> 3));
      }
    }
    packSingly(x, params, codes, whole, dim, bits, alongChannels ? groupSize : 1);
    if ((row + 1) % tokensPerRow == 0) params += paramBytes;
  }
}

/** The codes of sixteen numbers, one a byte. */
// @ts-ignore: decorator
@inline
function pack16(x: usize, p0: v128, p1: v128, p2: v128, p3: v128, largest: i32): v128 {
  const limit = i16x8.splat(<i16>largest);
  const zero = i32x4.splat(0);
  const low = i16x8.narrow_i32x4_s(codesOf4(v128.load(x), p0), codesOf4(v128.load(x, 16), p1));
  const high = i16x8.narrow_i32x4_s(codesOf4(v128.load(x, 32), p2), codesOf4(v128.load(x, 48), p3));
  return i8x16.narrow_i16x8_u(
    i16x8.min_s(i16x8.max_s(low, zero), limit),
    i16x8.min_s(i16x8.max_s(high, zero), limit),
  );
}

/** round(x / scale) - zero of four numbers; 0 if the scale is 0. */
// @ts-ignore: decorator
@inline
function codesOf4(x: v128, params: v128): v128 {
  const scales = scaleOf(params);
  const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(x, scales)));
  return v128.and(i32x4.sub(whole, zeroOf(params)), f32x4.ne(scales, f32x4.splat(0)));
}

/** Stores sixteen codes, one a byte, as 16 * bits bits. */
// @ts-ignore: decorator
@inline
function store16(bytes: v128, bits: i32, out: usize): void {
  if (bits == 8) v128.store(out, bytes);
  else if (bits == 4) v128.store64_lane(out, joined(bytes, 4), 0);
  else v128.store32_lane(out, joined(joined(bytes, 2), 4), 0);
}

/** Neighbouring bytes joined: the second `bits` bits above the first; eight bytes from sixteen. */
// @ts-ignore: decorator
@inline
function joined(bytes: v128, bits: i32): v128 {
  const first = v128.and(bytes, i16x8.splat(0xff));
  const second = i16x8.shl(i16x8.shr_u(bytes, 8), bits);
  const pairs = v128.or(first, second);
  return i8x16.narrow_i16x8_u(pairs, pairs);
}

/** The codes of one row from `channel` on, a word at a time; `channel` begins a word. */
function packSingly(x: usize, params: usize, codes: usize, channel: i32, dim: i32, bits: i32, groupSize: i32): void {
  const largest = (1 << bits) - 1;
  while (channel < dim) {
    const word = codes + <usize>((channel * bits) >> 5 << 2);
    let packed: u32 = 0;
    for (let bit = 0; bit < 32 && channel < dim; bit += bits, channel++) {
      const group = load<u32>(params + (<usize>(channel / groupSize) << 2));
      packed |= codeOf(load<f32>(x + (<usize>channel << 2)), group, largest) << bit;
    }
    store<u32>(word, packed);
  }
}
