import {countOf, Eight, Four, One, Three, Two} from './counts';
import {EncodingDescriptor} from './encoding_descriptor';
import {attendedBits, attendedBytes, codeOf, lowerBits, scaleOf, zeroOf} from './integer';
import {madd, maxOfLanes, sumOfLanes} from './math';
import {areSlow, integersOf, inverseUnitsOf, pairsOf, shifted, unitsOf, wholeOf} from './rounding';
import {listAt, listedAt, outputsAt, scoresAt, scoreStep, sumsAt} from './row_blocks';
import {tileTokens} from './scores';
import {channelAt, codesOf, dot} from './unpacked';

// Weighted sums of integer values whose groups run along channels, added to the outputs of a block of rows (row_blocks.ts) in
// integers. Within a group of channels,
//
//     sum_j p_j v_j = sum_j w_j (code_j + zero_j) = unit * sum_j W_j code_j + offset        w_j = p_j s_j
//
// with W the weights w rounded to 16 bits and `offset` exact. Two tokens' codes are interleaved in registers, so that one
// integer multiply-add takes both. The error is near 1e-5 of the tile's largest weight, so tokens that carry more than 1/64 of the
// attention so far are left out there and added in floats: few tokens, but of much weight.

/** The part of the attention so far from which on a token is added in floats. */
const significant: f32 = 1.0 / 64;

/** Whether values may be added up in integers. */
export function areIntegerValues(encoding: EncodingDescriptor): bool {
  if (encoding.kind != 1 || encoding.layout >> 8 != 1) return false;
  const eightBytes = 64 / attendedBits(encoding.layout & 0xff); // in channels
  // codes of two planes are widened sixteen at a time
  return encoding.dim % (lowerBits(encoding.layout & 0xff) == 0 ? eightBytes : 16) == 0 && encoding.groupSize % eightBytes == 0;
}

// Scratch: scales and zero points of a tile's tokens, floats; the products w, laid out like a block's scores; the rounded ones,
// 16 bits each, two adjacent tokens of each row; a list of tokens; then, a lane for each row, the largest products, and units
// and offsets of the rounded ones.

const zerosAt: usize = tileTokens << 2;
const productsAt: usize = 2 * zerosAt;
const roundedAt: usize = productsAt + (tileTokens << 4);
const peakedAt: usize = roundedAt + (tileTokens << 3);
const largestAt: usize = peakedAt + tileTokens;
const unitsAt: usize = largestAt + 16;
const offsetsAt: usize = unitsAt + 16;
const gatheredAt: usize = offsetsAt + 16;

/** Bytes of scratch memory that `addIntegerBlock` takes. */
export function integerValueBytes(encoding: EncodingDescriptor): usize {
  return gatheredAt + <usize>tileTokens * (attendedBytes(encoding.dim, encoding.layout & 0xff) + paramBytes(encoding));
}

/** Bytes of the scales and zero points of a token. */
// @ts-ignore: decorator
@inline
function paramBytes(encoding: EncodingDescriptor): usize {
  return <usize>((encoding.dim + encoding.groupSize - 1) / encoding.groupSize) << 2;
}

/**
 * Adds those of the values from token `from` on that `listTokens` listed, times their weights, to a block's outputs in unpacked order. Their
 * codes are where `attendedCodes` says for `count` tokens.
 */
export function addIntegerBlock(
  block: usize, rows: i32, encoding: EncodingDescriptor, head: i32, from: i32, codes: usize, count: i32, dim: i32, scratch: usize,
): void {
  const listed = load<i32>(block + listedAt);
  if (listed == 0) return;
  const perToken = paramBytes(encoding);
  let params = <usize>encoding.params + <usize>(head * encoding.paramRows + from) * perToken;
  if (listed < count) {
    // next to each other, so that loops go by pairs of neighbours
    const bytes = attendedBytes(encoding.dim, encoding.layout & 0xff),
      gathered = scratch + gatheredAt,
      list = block + listAt;
    gather(list, listed, codes, bytes, gathered);
    gather(list, listed, params, perToken, gathered + <usize>tileTokens * bytes);
    codes = gathered;
    params = gathered + <usize>tileTokens * bytes;
  }
  addTokens(block, rows, encoding, params, codes, listed, dim, scratch);
}

/** Copies rows of `bytes`, a multiple of 4, whose indices are listed. */
function gather(list: usize, count: i32, from: usize, bytes: usize, to: usize): void {
  const vectors = bytes & ~15;
  for (const end = list + <usize>count; list < end; list++) {
    let row = from + <usize>load<u8>(list) * bytes;
    const rowEnd = row + bytes;
    for (const last = row + vectors; row < last; row += 16, to += 16) v128.store(to, v128.load(row));
    for (; row < rowEnd; row += 4, to += 4) store<u32>(to, load<u32>(row));
  }
}

function addTokens(
  block: usize, rows: i32, encoding: EncodingDescriptor, params: usize, codes: usize, count: i32, dim: i32, scratch: usize,
): void {
  const groupSize = encoding.groupSize,
    bits = attendedBits(encoding.layout & 0xff);
  const codeBytes = attendedBytes(encoding.dim, encoding.layout & 0xff);
  const half = <f32>(1 << ((encoding.layout & 0xff) - 1));
  const groups = (encoding.dim + groupSize - 1) / groupSize;
  for (let group = 0; group < groups; group++) {
    const first = group * groupSize;
    const bytes = <usize>((min(groupSize, encoding.dim - first) * bits) >> 3);
    const codesOfGroup = codes + <usize>((first * bits) >> 3);
    const outputs = block + outputsAt(dim) + (<usize>(first * rows) << 2);
    readTokens(encoding, params + (<usize>group << 2), count, groups, scratch);
    const peak = f32x4.mul(v128.load(block, sumsAt), f32x4.splat(significant));
    const isPeaked = weigh(block, rows, count, peak, scratch);
    const slow = areSlow(v128.load(scratch, largestAt));
    if (v128.any_true(slow)) {
      v128.store(scratch, slow, unitsAt);
      for (let row = 0; row < rows; row++) {
        if (!load<i32>(scratch + (<usize>row << 2), unitsAt)) continue;
        addSlowly(row, rows, codesOfGroup, codeBytes, count, <i32>(bytes << 3) / bits, bits, half, outputs, scratch);
      }
    }
    roundWeights(rows, count, half, scratch);
    addProducts(codesOfGroup, codeBytes, bytes, count, bits, rows, scratch, outputs);
    if (isPeaked) addPeaked(block, peak, codesOfGroup, codeBytes, bytes, count, bits, half, rows, scratch, outputs);
  }
}

/** Scales, and zero points plus half the range of the codes, of one group of channels of a tile's tokens, followed by zeros. */
function readTokens(encoding: EncodingDescriptor, params: usize, count: i32, groups: i32, scales: usize): void {
  const half = f32x4.splat(<f32>(1 << ((encoding.layout & 0xff) - 1)));
  const whole = groups == 1 ? count & ~3 : 0;
  for (const end = scales + (<usize>whole << 2); scales < end; scales += 16, params += 16) {
    const p = v128.load(params);
    v128.store(scales, scaleOf(p));
    v128.store(scales, f32x4.add(zeroOf(p), half), zerosAt);
  }
  for (let token = whole; token < count; token++, scales += 4, params += <usize>groups << 2) {
    const p = v128.load32_splat(params);
    v128.store32_lane(scales, scaleOf(p), 0);
    v128.store32_lane(scales, f32x4.add(zeroOf(p), half), 0, zerosAt);
  }
  for (let token = count; token < ((count + 7) & ~7); token++, scales += 4) {
    store<f32>(scales, 0);
    store<f32>(scales, 0, zerosAt);
  }
}

/** Vectors of a block's weights, a pair of vectors at least: of four tokens of a single row, or of a token of all rows. */
// @ts-ignore: decorator
@inline
function vectorsOf(rows: i32, count: i32): i32 {
  return rows == 1 ? ((count + 7) >> 3) << 1 : (count + 1) & ~1;
}

/** Weights up to `peak` times scales, the largest of these products and their offsets. Whether there are weights above. */
function weigh(block: usize, rows: i32, count: i32, peak: v128, scratch: usize): bool {
  let weights = block + scoresAt,
    products = scratch + productsAt,
    scales = scratch;
  const end = weights + (<usize>vectorsOf(rows, count) << 4);
  for (let at = weights + <usize>count * scoreStep(rows); at < end; at += 4) store<f32>(at, 0);
  let above = f32x4.splat(0),
    largest = above,
    exact = above;
  for (; weights < end; weights += 16, products += 16, scales += rows == 1 ? 16 : 4) {
    const weight = v128.load(weights);
    const scale = rows == 1 ? v128.load(scales) : v128.load32_splat(scales),
      zero = rows == 1 ? v128.load(scales, zerosAt) : v128.load32_splat(scales, zerosAt);
    const isAbove = f32x4.gt(weight, peak);
    const product = v128.andnot(f32x4.mul(weight, scale), isAbove);
    v128.store(products, product);
    above = v128.or(above, isAbove);
    largest = f32x4.pmax(largest, product);
    exact = madd(product, zero, exact);
  }
  if (rows == 1) {
    largest = f32x4.splat(maxOfLanes(largest));
    exact = f32x4.splat(sumOfLanes(exact));
  }
  v128.store(scratch, largest, largestAt);
  v128.store(scratch, exact, offsetsAt);
  return v128.any_true(above);
}

/** Rounds the products. */
function roundWeights(rows: i32, count: i32, half: f32, scratch: usize): void {
  const largest = v128.load(scratch, largestAt);
  const units = unitsOf(largest),
    inverse = inverseUnitsOf(largest);
  let sums = f32x4.splat(0);
  let products = scratch + productsAt,
    rounded = scratch + roundedAt;
  for (let i = vectorsOf(rows, count); i > 0; i -= 2, products += 32, rounded += 16) {
    const x = f32x4.mul(v128.load(products), inverse),
      y = f32x4.mul(v128.load(products, 16), inverse);
    const first = shifted(x),
      second = shifted(y);
    sums = f32x4.add(sums, f32x4.add(wholeOf(first), wholeOf(second)));
    v128.store(rounded, rows == 1 ? integersOf(first, second) : pairsOf(first, second));
  }
  if (rows == 1) sums = f32x4.splat(sumOfLanes(sums));
  const middles = f32x4.mul(units, f32x4.splat(half));
  const exact = v128.andnot(v128.load(scratch, offsetsAt), areSlow(largest)); // slow rows are added by themselves
  v128.store(scratch, units, unitsAt);
  v128.store(scratch, f32x4.sub(exact, f32x4.mul(middles, sums)), offsetsAt);
}

/** outputs += units * (rounded weights . codes) + offsets, for `bytes` of codes of each of some tokens. */
function addProducts(
  codes: usize, codeBytes: usize, bytes: usize, count: i32, bits: i32, rows: i32, scratch: usize, outputs: usize,
): void {
  const pairs = count >> 1;
  const weights = scratch + roundedAt,
    units = scratch + unitsAt;
  addPairs(codes, codeBytes, bytes, pairs, bits, rows, weights, units, outputs);
  if (count & 1) {
    // the last one's neighbour: itself, with weight 0
    v128.store(units, f32x4.splat(0), 16);
    const last = weights + <usize>pairs * (rows == 1 ? 4 : 16);
    addPairs(codes + <usize>(count - 1) * codeBytes, 0, bytes, 1, bits, rows, last, units, outputs);
  }
}

function addPairs(
  codes: usize, codeBytes: usize, bytes: usize, pairs: i32, bits: i32, rows: i32, weights: usize, units: usize, outputs: usize,
): void {
  if (bits == 8) addOfBits<Eight>(codes, codeBytes, bytes, pairs, rows, weights, units, outputs);
  else if (bits == 4) addOfBits<Four>(codes, codeBytes, bytes, pairs, rows, weights, units, outputs);
  else addOfBits<Two>(codes, codeBytes, bytes, pairs, rows, weights, units, outputs);
}

// @ts-ignore: decorator
@inline
function addOfBits<Bits>(
  codes: usize, codeBytes: usize, bytes: usize, pairs: i32, rows: i32, weights: usize, units: usize, outputs: usize,
): void {
  if (rows == 1) addOfRows<Bits, One>(codes, codeBytes, bytes, pairs, weights, units, outputs);
  else if (rows == 2) addOfRows<Bits, Two>(codes, codeBytes, bytes, pairs, weights, units, outputs);
  else if (rows == 3) addOfRows<Bits, Three>(codes, codeBytes, bytes, pairs, weights, units, outputs);
  else addOfRows<Bits, Four>(codes, codeBytes, bytes, pairs, weights, units, outputs);
}

function addOfRows<Bits, Rows>(
  codes: usize, codeBytes: usize, bytes: usize, pairs: i32, weights: usize, units: usize, out: usize,
): void {
  const bits = countOf<Bits>(),
    rows = countOf<Rows>();
  for (const end = codes + bytes; codes < end; codes += 8, out += <usize>(8 / bits) * 32 * rows) {
    addEight<Bits, Rows>(codes, codeBytes, pairs, 0, weights, units, out);
    if (bits < 8) addEight<Bits, Rows>(codes, codeBytes, pairs, 1, weights, units, out + 32 * rows);
    if (bits == 2) {
      addEight<Bits, Rows>(codes, codeBytes, pairs, 2, weights, units, out + 64 * rows);
      addEight<Bits, Rows>(codes, codeBytes, pairs, 3, weights, units, out + 96 * rows);
    }
  }
}

/** Code k of each of eight bytes, down the pairs of tokens. */
// @ts-ignore: decorator
@inline
function addEight<Bits, Rows>(
  codes: usize, codeBytes: usize, pairs: i32, k: i32, w: usize, units: usize, out: usize,
): void {
  const rows = countOf<Rows>();
  const step: usize = rows == 1 ? 4 : 16;
  let a0 = i32x4.splat(0),
    a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0;
  for (const end = w + <usize>pairs * step; w < end; w += step, codes += 2 * codeBytes) {
    const x = codesOf<Bits>(v128.load_ext<u8>(codes), k),
      y = codesOf<Bits>(v128.load_ext<u8>(codes + codeBytes), k);
    const low = v128.shuffle<u16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11),
      high = v128.shuffle<u16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
    const a = v128.load32_splat(w);
    a0 = dot(a0, a, low);
    a1 = dot(a1, a, high);
    if (rows > 1) {
      const b = v128.load32_splat(w, 4);
      b0 = dot(b0, b, low);
      b1 = dot(b1, b, high);
    }
    if (rows > 2) {
      const c = v128.load32_splat(w, 8);
      c0 = dot(c0, c, low);
      c1 = dot(c1, c, high);
    }
    if (rows > 3) {
      const d = v128.load32_splat(w, 12);
      d0 = dot(d0, d, low);
      d1 = dot(d1, d, high);
    }
  }
  addTo(out, rows, a0, a1, units);
  if (rows > 1) addTo(out + 16, rows, b0, b1, units + 4);
  if (rows > 2) addTo(out + 32, rows, c0, c1, units + 8);
  if (rows > 3) addTo(out + 48, rows, d0, d1, units + 12);
}

/** Eight channels of one row. */
// @ts-ignore: decorator
@inline
function addTo(out: usize, rows: i32, low: v128, high: v128, units: usize): void {
  const unit = v128.load32_splat(units),
    offset = v128.load32_splat(units, 16);
  const x = madd(f32x4.convert_i32x4_s(low), unit, offset),
    y = madd(f32x4.convert_i32x4_s(high), unit, offset);
  v128.store(out, f32x4.add(v128.load(out), x));
  out += <usize>rows << 4;
  v128.store(out, f32x4.add(v128.load(out), y));
}

/** outputs += weights above `peak` times values, in floats. */
function addPeaked(
  block: usize, peak: v128, codes: usize, codeBytes: usize, bytes: usize, count: i32, bits: i32, half: f32, rows: i32,
  scratch: usize, outputs: usize,
): void {
  // listed without a branch, which would be unpredictable
  const list = scratch + peakedAt,
    step = scoreStep(rows);
  let end = list,
    weights = block + scoresAt;
  for (let token = 0; token < count; token++, weights += step) {
    store<u8>(end, <u8>token);
    const weight = rows == 1 ? v128.load32_splat(weights) : v128.load(weights);
    end += <usize>v128.any_true(f32x4.gt(weight, peak));
  }
  const largestCode = (1 << bits) - 1;
  const mask = i16x8.splat(<i16>largestCode);
  const factors = scratch + productsAt; // the products have been added
  for (let at = list; at < end; at++) {
    const token = <usize>load<u8>(at);
    weights = block + scoresAt + token * step;
    const weight = rows == 1 ? v128.load32_splat(weights) : v128.load(weights);
    const scale = v128.load32_splat(scratch + (token << 2)),
      zero = f32x4.sub(v128.load32_splat(scratch + (token << 2), zerosAt), f32x4.splat(half));
    v128.store(factors, f32x4.mul(v128.and(weight, f32x4.gt(weight, peak)), scale));
    let out = outputs;
    const first = codes + token * codeBytes;
    for (let code = first; code < first + bytes; code += 8) {
      const eight = v128.load_ext<u8>(code);
      for (let shift = 0; shift < 8; shift += bits) {
        const x = v128.and(i16x8.shr_u(eight, shift), mask);
        const low = f32x4.add(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(x)), zero),
          high = f32x4.add(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(x)), zero);
        for (let row = 0; row < rows; row++, out += 16) {
          const factor = v128.load32_splat(factors + (<usize>row << 2));
          const next = out + (<usize>rows << 4);
          v128.store(out, madd(factor, low, v128.load(out)));
          v128.store(next, madd(factor, high, v128.load(next)));
        }
        out += <usize>rows << 4;
      }
    }
  }
}

/** One row in floats, if its weights are too large or too small to be rounded. */
function addSlowly(
  row: i32, rows: i32, codes: usize, codeBytes: usize, count: i32, channels: i32, bits: i32, half: f32, outputs: usize,
  scratch: usize,
): void {
  for (let token: usize = 0; token < <usize>count; token++, codes += codeBytes) {
    const product = load<f32>(scratch + token * scoreStep(rows) + (<usize>row << 2), productsAt),
      zero = load<f32>(scratch + (token << 2), zerosAt);
    for (let place = 0; place < channels; place++) {
      const to = outputs + (<usize>((place >> 2) * rows + row) << 4) + (<usize>(place & 3) << 2);
      const code = <f32>codeOf(codes, channelAt(place, bits), channels, bits) - half;
      store<f32>(to, load<f32>(to) + product * (code + zero));
    }
  }
}
