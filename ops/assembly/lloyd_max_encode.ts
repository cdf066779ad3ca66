import {codeTile, groupChannels, sharedBytes, upperBits} from './lloyd_max';
import {transpose} from './transpose';

// Encoding of ops/lloyd_max, a tile of 16 tokens at a time, whose numbers lie in the lanes of vectors. It has tables of its own behind
// those of lloyd_max.ts: the smallest scale, a float64, of each exponent; the inverse of each scale, a float; then for each width
// from 0 to 8 the midpoints of neighbouring levels, the levels in ascending order, and their codes, a byte each, with room for 256.

const inversesAt: usize = sharedBytes + 64 * 8;
const widthsAt: usize = inversesAt + 64 * 4;
const levelsAt: usize = 256 * 4;
const codesAt: usize = 2 * levelsAt;
const widthBytes: usize = codesAt + 256;

// Scratch memory: sums of each token, two float64 numbers; inverse scales; the indices of levels of one channel; then the numbers,
// 16 tokens of each channel.

const normsAt: usize = <usize>codeTile << 3;
const inverseAt: usize = 2 * normsAt;
const indicesAt: usize = inverseAt + (<usize>codeTile << 2);
const exponentsAt: usize = indicesAt + <usize>codeTile;
const numbersAt: usize = exponentsAt + <usize>codeTile;
const channelBytes: usize = <usize>codeTile << 2;

/** Bytes of scratch memory. */
export function encodeLevelsScratch(dim: i32): usize {
  return numbersAt + <usize>dim * channelBytes;
}

/**
 * Codes and scales of z [texts, kvHeads, tokens, dim] as ops/encodings/lloyd_max.ts lays them out; `layout` is what a descriptor of
 * them points to.
 */
export function encodeLevels(
  z: usize, codes: usize, scales: usize, layout: usize, scratch: usize, texts: i32, kvHeads: i32, tokens: i32, dim: i32,
): void {
  const shared = <usize>load<u32>(layout),
    tileBytes = <usize>load<u32>(layout, 4) << 4;
  const tiles = tokens / codeTile,
    groups = dim / groupChannels;
  const rowBytes = <usize>dim << 2,
    scaleBytes = <usize>(kvHeads * 12);
  for (let text = 0; text < texts; text++) {
    for (let head = 0; head < kvHeads; head++) {
      const ofHead = layout + 8 + (<usize>(head * (1 + groups)) << 2);
      const widths = ofHead + 4;
      let to = codes + (<usize>load<u32>(ofHead) << 4),
        words = scales + <usize>(head * 12);
      for (let tile = 0; tile < tiles; tile++, to += tileBytes, words += scaleBytes, z += <usize>codeTile * rowBytes) {
        transpose(z, rowBytes, codeTile, dim, scratch + numbersAt, channelBytes);
        rootMeanSquares(shared, widths, groups, scratch);
        fitScales(shared, widths, groups, scratch);
        storeExponents(scratch + exponentsAt, words);
        storeCodes(shared, widths, groups, scratch, to);
      }
    }
    codes += <usize>tiles * tileBytes;
    scales += <usize>tiles * scaleBytes;
  }
}

/** The exponent of a scale, and its inverse. */
function setScale(shared: usize, token: usize, scale: f64, scratch: usize): void {
  let exponent = 0;
  for (let step = 32; step > 0; step >>= 1) {
    if (scale >= load<f64>(shared + sharedBytes + (<usize>(exponent + step) << 3))) exponent += step;
  }
  store<u8>(scratch + token, <u8>exponent, exponentsAt);
  store<f32>(scratch + (token << 2), load<f32>(shared + inversesAt + (<usize>exponent << 2)), inverseAt);
}

/** Scales of the channels that have codes: sqrt(mean(z^2)). */
function rootMeanSquares(shared: usize, widths: usize, groups: i32, scratch: usize): void {
  memory.fill(scratch, 0, normsAt);
  let count = 0;
  for (let group = 0; group < groups; group++) {
    if (load<i32>(widths + (<usize>group << 2)) == 0) continue;
    count += groupChannels;
    let number = scratch + numbersAt + <usize>(group * groupChannels) * channelBytes;
    for (const end = number + <usize>groupChannels * channelBytes; number < end; ) {
      for (let sum = scratch; sum < scratch + normsAt; sum += 16, number += 8) {
        const x = f64x2.promote_low_f32x4(v128.load64_zero(number));
        v128.store(sum, f64x2.add(v128.load(sum), f64x2.mul(x, x)));
      }
    }
  }
  for (let token: usize = 0; token < <usize>codeTile; token++) {
    setScale(shared, token, count == 0 ? 0 : sqrt(load<f64>(scratch + (token << 3)) / <f64>count), scratch);
  }
}

/** Better scales by the levels that these lead to: <z, level> / <level, level>. */
function fitScales(shared: usize, widths: usize, groups: i32, scratch: usize): void {
  memory.fill(scratch, 0, 2 * normsAt);
  let coded = false;
  for (let group = 0; group < groups; group++) {
    const width = load<i32>(widths + (<usize>group << 2));
    if (width == 0) continue;
    coded = true;
    const table = shared + widthsAt + <usize>width * widthBytes;
    for (let channel = 0; channel < groupChannels; channel++) {
      const numbers = scratch + numbersAt + <usize>(group * groupChannels + channel) * channelBytes;
      v128.store(scratch, indicesOf(numbers, scratch + inverseAt, table, width), indicesAt);
      for (let token: usize = 0; token < <usize>codeTile; token++) {
        const level = <f64>load<f32>(table + (<usize>load<u8>(scratch + token, indicesAt) << 2), levelsAt);
        const at = scratch + (token << 3);
        store<f64>(at, load<f64>(at) + <f64>load<f32>(numbers + (token << 2)) * level);
        store<f64>(at, load<f64>(at, normsAt) + level * level, normsAt);
      }
    }
  }
  if (!coded) return;
  for (let token: usize = 0; token < <usize>codeTile; token++) {
    const at = scratch + (token << 3);
    setScale(shared, token, load<f64>(at) / load<f64>(at, normsAt), scratch);
  }
}

/** The indices of the levels nearest to sixteen numbers, a byte each: how many midpoints are less. */
function indicesOf(numbers: usize, inverses: usize, table: usize, width: i32): v128 {
  const x0 = f32x4.mul(v128.load(numbers), v128.load(inverses)),
    x1 = f32x4.mul(v128.load(numbers, 16), v128.load(inverses, 16)),
    x2 = f32x4.mul(v128.load(numbers, 32), v128.load(inverses, 32)),
    x3 = f32x4.mul(v128.load(numbers, 48), v128.load(inverses, 48));
  let c0 = i32x4.splat(0),
    c1 = c0,
    c2 = c0,
    c3 = c0;
  const end = table + (<usize>((1 << width) - 1) << 2);
  for (; table < end; table += 4) {
    const midpoint = v128.load32_splat(table);
    c0 = i32x4.sub(c0, f32x4.lt(midpoint, x0));
    c1 = i32x4.sub(c1, f32x4.lt(midpoint, x1));
    c2 = i32x4.sub(c2, f32x4.lt(midpoint, x2));
    c3 = i32x4.sub(c3, f32x4.lt(midpoint, x3));
  }
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(c0, c1), i16x8.narrow_i32x4_s(c2, c3));
}

/** Codes of all channels of a tile by its scales. */
function storeCodes(shared: usize, widths: usize, groups: i32, scratch: usize, to: usize): void {
  for (let group = 0; group < groups; group++) {
    const width = load<i32>(widths + (<usize>group << 2));
    const table = shared + widthsAt + <usize>width * widthBytes;
    memory.fill(to, 0, <usize>width << 4);
    const upper = upperBits(width),
      lower = width - upper,
      largest = (1 << lower) - 1;
    for (let channel = 0; width > 0 && channel < groupChannels; channel++) {
      const numbers = scratch + numbersAt + <usize>(group * groupChannels + channel) * channelBytes;
      const indices = indicesOf(numbers, scratch + inverseAt, table, width);
      // the levels of one plane are in the order of their codes
      const code = lower == 0 ? indices : codesOf(indices, table + codesAt, width);
      addPlane(i8x16.shr_u(code, lower), channel * upper, to);
      if (lower > 0) addPlane(v128.and(code, i8x16.splat(<i8>largest)), channel * lower, to + (<usize>upper << 4));
    }
    to += <usize>width << 4;
  }
}

/** The codes of sixteen indices, a byte each. */
function codesOf(indices: v128, table: usize, width: i32): v128 {
  let codes = i32x4.splat(0);
  for (const end = table + (<usize>1 << width); table < end; table += 16) {
    codes = v128.or(codes, i8x16.swizzle(v128.load(table), indices)); // 0 for indices from 16 on
    indices = i8x16.sub(indices, i8x16.splat(16));
  }
  return codes;
}

/** Puts values of one plane to where they begin, counted in bits of each token. */
// @ts-ignore: decorator
@inline
function addPlane(values: v128, bit: i32, to: usize): void {
  const vector = to + (<usize>(bit >> 3) << 4);
  v128.store(vector, v128.or(v128.load(vector), i8x16.shl(values, bit & 7)));
}

/** Sixteen exponents of six bits: the lower four of each in two words, the upper two in a third. */
function storeExponents(exponents: usize, words: usize): void {
  let lower: u64 = 0;
  let upper: u32 = 0;
  for (let token = 0; token < codeTile; token++) {
    const exponent = load<u8>(exponents + <usize>token);
    lower |= <u64>(exponent & 15) << (4 * token);
    upper |= <u32>(exponent >> 4) << (2 * token);
  }
  store<u64>(words, lower);
  store<u32>(words, upper, 8);
}
