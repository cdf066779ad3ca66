import {lowerBits, rowWords, scaleOf, upperBits, upperBytes, zeroOf} from './integer';
import {maxOfLanes} from './math';

/** As bits: a positive float32 rounded up to 8 bits of mantissa, so that a group's range always fits its codes. */
// @ts-ignore: decorator
@inline
function roundUpScale(x: f32): u32 {
  return (reinterpret<u32>(x) + 0x7fff) & 0x7fff8000;
}

/** The largest multiple of 1/256 in float16 that is not above x, as bits of float16. */
// @ts-ignore: decorator
@inline
function zeroBelow(x: f32): u32 {
  const unit = max<f32>(reinterpret<f32>(reinterpret<u32>(x) & 0x7f800000) / 1024, 1.0 / 256);
  return halfBits(floor(x / unit) * unit);
}

/** The bits in float16 of a number that float16 holds as a normal number, or of 0. */
// @ts-ignore: decorator
@inline
function halfBits(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  return x == 0 ? 0 : ((bits >> 16) & 0x8000) | (((bits & 0x7fffffff) - 0x38000000) >> 13);
}

/** The word of a group with these extremes: see ops/integer/reference.ts. */
function parametersOf(low: f32, high: f32, bits: i32, symmetric: i32): u32 {
  const absolute = max(abs(low), abs(high));
  let scale: u32, zero: u32;
  if (symmetric) {
    scale = roundUpScale(absolute / <f32>((1 << (bits - 1)) - 1));
    zero = halfBits(-(<f32>(1 << (bits - 1))));
  } else {
    const steps = <f32>((1 << bits) - 1) - <f32>(1.0 / 256);
    const lowest = low / steps;
    const range = high / steps - lowest + abs(lowest) / 1024;
    scale = roundUpScale(max(range, absolute / 32768));
    zero = zeroBelow(low / reinterpret<f32>(scale));
  }
  return scale == 0 ? 0 : ((scale << 1) & 0xffff0000) | zero;
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
  const codeBytes = <usize>rowWords(dim, bits) << 2,
    lowerAt = upperBytes(dim, bits);
  const paramBytes = <usize>(alongChannels ? (dim + groupSize - 1) / groupSize : dim) << 2;
  const tokensPerRow = alongChannels ? 1 : groupSize;
  const largest = (1 << bits) - 1;
  // blocks of sixteen channels, each within one group or with parameters of its own
  const whole = alongChannels && groupSize % 16 ? 0 : dim & ~15;
  for (let row = 0; row < heads * tokens; row++, x += <usize>dim << 2, codes += codeBytes) {
    for (let channel = 0; channel < whole; channel += 16) {
      const p = params + (<usize>(alongChannels ? channel / groupSize : channel) << 2);
      const from = x + (<usize>channel << 2);
      if (alongChannels) {
        const group = v128.load32_splat(p);
        store16(pack16(from, group, group, group, group, largest), bits, codes, lowerAt, channel);
      } else {
        const bytes = pack16(from, v128.load(p), v128.load(p, 16), v128.load(p, 32), v128.load(p, 48), largest);
        store16(bytes, bits, codes, lowerAt, channel);
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

/** round(x / scale - zero) of four numbers; 0 if the scale is 0. */
// @ts-ignore: decorator
@inline
function codesOf4(x: v128, params: v128): v128 {
  const scales = scaleOf(params);
  const steps = f32x4.nearest(f32x4.sub(f32x4.div(x, scales), zeroOf(params)));
  return v128.and(i32x4.trunc_sat_f32x4_s(steps), f32x4.ne(scales, f32x4.splat(0)));
}

/** Stores sixteen codes, one a byte, in their planes. */
// @ts-ignore: decorator
@inline
function store16(bytes: v128, bits: i32, codes: usize, lowerAt: usize, channel: i32): void {
  const lower = lowerBits(bits);
  storePlane(lower == 0 ? bytes : i8x16.shr_u(bytes, lower), upperBits(bits), codes, channel);
  if (lower == 0) return;
  storePlane(v128.and(bytes, i8x16.splat(lower == 1 ? 1 : 3)), lower, codes + lowerAt, channel);
}

/** Stores sixteen parts of codes, one a byte, as 16 * bits bits; a word that has room for sixteen more is filled with zeros. */
// @ts-ignore: decorator
@inline
function storePlane(bytes: v128, bits: i32, plane: usize, channel: i32): void {
  const out = plane + <usize>((channel * bits) >> 3);
  if (bits == 8) v128.store(out, bytes);
  else if (bits == 4) v128.store64_lane(out, joined(bytes, 4), 0);
  else if (bits == 2) v128.store32_lane(out, joined(joined(bytes, 2), 4), 0);
  else if (channel & 16) store<u16>(out, <u16>i8x16.bitmask(i8x16.shl(bytes, 7)));
  else store<u32>(out, i8x16.bitmask(i8x16.shl(bytes, 7)));
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

/** The codes of one row from `channel` on, a multiple of 16: words are filled with zeros first, unless earlier channels did. */
function packSingly(x: usize, params: usize, codes: usize, channel: i32, dim: i32, bits: i32, groupSize: i32): void {
  const upper = upperBits(bits),
    lower = lowerBits(bits);
  const lowerPlane = codes + upperBytes(dim, bits);
  const largest = (1 << bits) - 1;
  for (; channel < dim; channel++) {
    const group = v128.load32_splat(params + (<usize>(channel / groupSize) << 2));
    const steps = i32x4.extract_lane(codesOf4(v128.load32_splat(x + (<usize>channel << 2)), group), 0);
    const code = <u32>max(0, min(largest, steps));
    addPart(codes, channel, upper, code >> lower);
    if (lower > 0) addPart(lowerPlane, channel, lower, code & ((1 << lower) - 1));
  }
}

/** Puts a part of a code, which is not larger than its bits, into a plane. */
// @ts-ignore: decorator
@inline
function addPart(plane: usize, channel: i32, bits: i32, part: u32): void {
  const bit = channel * bits;
  const word = plane + <usize>(bit >> 5 << 2);
  store<u32>(word, (bit & 31 ? load<u32>(word) : 0) | (part << (bit & 31)));
}
