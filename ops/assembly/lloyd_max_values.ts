import {countOf, Four, One, Three, Two} from './counts';
import {EncodingDescriptor} from './encoding_descriptor';
import {
  codeTile, decodeBytes, decodeLevels, groupChannels, headLayout, largestLevel, levelUnit, sharedOf, tileStride, unpackGroup, vectorsOf,
  widthBytes,
} from './lloyd_max';
import {integerSumsOfLanes, madd, maxOfLanes, sumOfLanes} from './math';
import {integersOf, shifted} from './rounding';
import {dot} from './unpacked';

// Weighted sums of values of the kind `lloydMax` (lloyd_max.ts), in integers:
//
//     sum_j p_j s_j level_jc = unit * sum_j W_j level_jc
//
// with W the products p_j s_j rounded to 16 bits, or so many that sums fit 32, and levels as integers, which are exact. Look-ups give
// the levels of 16 tokens of a channel; all rows share them. The error is near 1e-4 of the largest weight of 128 tokens, so tokens that
// carry more than 1/64 of the attention so far are left out there and added in floats: few tokens, but of much weight.

/** The part of the attention so far from which on a token is added in floats. */
const significant: f32 = 1.0 / 64;

/** Tokens that are added at a time. */
export const valueTokens: i32 = 128;

// Scratch: units of the rounded weights of each row, these weights; levels of a group, 128 tokens of each channel, or tokens in floats.

const weightBytes: usize = <usize>valueTokens << 1;
const channelBytes: usize = <usize>valueTokens << 1;

/** Bytes of scratch memory of `addValues`. */
export function valueScratch(rows: i32, dimV: i32): usize {
  const levels = <usize>groupChannels * channelBytes;
  const floats = (<usize>(codeTile * dimV) << 2) + decodeBytes;
  return <usize>((rows + 3) & ~3) * (weightBytes + 4) + max(levels, floats);
}

/**
 * Adds values of `count` tokens from the first of tile `tile` on to `rows` outputs. `weights` has a row of floats, `rowBytes` long, per
 * output and is changed; `scales` are those of the tokens; each state is [output of dimV floats, largest score, sum of weights].
 */
export function addValues(
  encoding: EncodingDescriptor, head: i32, codes: usize, tile: i32, count: i32, rows: i32, weights: usize, rowBytes: usize, scales: usize,
  state: usize, scratch: usize,
): void {
  const dimV = encoding.dim;
  const stateBytes = <usize>(dimV + 2) << 2;
  const padded = <usize>((rows + 3) & ~3);
  const units = scratch,
    rounded = units + (padded << 2),
    work = rounded + padded * weightBytes;
  const tiles = (count + codeTile - 1) / codeTile;
  const most = largestSum(encoding, head);
  const rowEnd = weights + <usize>rows * rowBytes,
    sums = state + (<usize>dimV << 2) + 4;
  let arePeaked = false;
  for (let ofRow = weights, sum = sums; ofRow < rowEnd; ofRow += rowBytes, sum += stateBytes) {
    for (let token = count; token < tiles * codeTile; token++) store<f32>(ofRow + (<usize>token << 2), 0);
    if (hasPeaks(ofRow, count, load<f32>(sum) * significant)) arePeaked = true;
  }
  if (arePeaked) {
    for (let i = 0; i < tiles; i++) addPeaks(encoding, head, tile + i, rows, weights + (<usize>i << 6), rowBytes, state, work);
  }
  for (let row: usize = 0; row < <usize>rows; row++) {
    const sum = load<f32>(sums + row * stateBytes);
    const unit = roundWeights(weights + row * rowBytes, scales, tiles * codeTile, most, rounded + row * weightBytes);
    store<f32>(units + (row << 2), unit * levelUnit + (sum - sum)); // a NaN is passed on
  }
  const widths = headLayout(encoding, head) + 4;
  const shared = sharedOf(encoding),
    stride = tileStride(encoding);
  // a number of each line of memory, in sequence, only to fetch them together: groups are read with a stride
  const bytes = <usize>vectorsOf(encoding, head) << 4;
  for (let i: usize = 0; i < <usize>tiles; i++) {
    for (let line: usize = 0; line < bytes; line += 64) load<u32>(codes + i * stride + line);
  }
  for (let group = 0; group < dimV / groupChannels; group++, state += <usize>groupChannels << 2) {
    const width = load<i32>(widths + (<usize>group << 2));
    if (width == 0) continue;
    const tables = shared + <usize>width * widthBytes;
    unpackGroup(codes, stride, tiles, width, tables, work, channelBytes);
    for (let row = 0; row < rows; ) {
      const left = rows - row;
      const w = rounded + <usize>row * weightBytes,
        unit = units + (<usize>row << 2),
        out = state + <usize>row * stateBytes;
      if (left == 1) addGroup<One>(work, tiles, w, unit, out, stateBytes);
      else if (left == 2) addGroup<Two>(work, tiles, w, unit, out, stateBytes);
      else if (left == 4) addGroup<Two>(work, tiles, w, unit, out, stateBytes);
      else addGroup<Three>(work, tiles, w, unit, out, stateBytes);
      row += left == 4 ? 2 : min(left, 3);
    }
    codes += <usize>width << 4;
  }
}

/** The largest sum that rounded weights may have, so that sums of their products by levels do not overflow. */
function largestSum(encoding: EncodingDescriptor, head: i32): f32 {
  const widths = headLayout(encoding, head) + 4;
  let largest: f32 = 1;
  for (let group = 0; group < encoding.dim / groupChannels; group++) {
    const width = load<i32>(widths + (<usize>group << 2));
    if (width > 0) largest = max(largest, largestLevel(encoding, width));
  }
  return 2145000000 / largest;
}

function hasPeaks(weights: usize, count: i32, peak: f32): bool {
  let most = f32x4.splat(0);
  for (const end = weights + (<usize>count << 2); weights < end; weights += 16) most = f32x4.pmax(most, v128.load(weights));
  return maxOfLanes(most) > peak;
}

/** Adds tokens of one tile with large weights in floats, and sets these weights to 0. */
function addPeaks(
  encoding: EncodingDescriptor, head: i32, tile: i32, rows: i32, weights: usize, rowBytes: usize, state: usize, scratch: usize,
): void {
  const valueBytes = <usize>encoding.dim << 2;
  let isDecoded = false;
  for (let row = 0; row < rows; row++, weights += rowBytes, state += valueBytes + 8) {
    const peak = load<f32>(state + valueBytes, 4) * significant;
    for (let token: usize = 0; token < <usize>codeTile; token++) {
      const at = weights + (token << 2);
      const weight = load<f32>(at);
      if (!(weight > peak)) continue;
      if (!isDecoded) decodeLevels(encoding, head, tile * codeTile, codeTile, scratch, scratch + <usize>codeTile * valueBytes);
      isDecoded = true;
      const value = scratch + token * valueBytes;
      const factor = f32x4.splat(weight);
      for (let i: usize = 0; i < valueBytes; i += 16) v128.store(state + i, madd(factor, v128.load(value + i), v128.load(state + i)));
      store<f32>(at, 0);
    }
  }
}

/** Weights times scales, rounded to 16 bits each. The unit of the integers. */
function roundWeights(weights: usize, scales: usize, count: i32, largestSum: f32, out: usize): f32 {
  let most = f32x4.splat(0),
    sums = most;
  const bytes = <usize>count << 2;
  for (let i: usize = 0; i < bytes; i += 16) {
    const product = f32x4.mul(v128.load(weights + i), v128.load(scales + i));
    v128.store(weights + i, product);
    most = f32x4.pmax(most, product);
    sums = f32x4.add(sums, product);
  }
  const unit = max(maxOfLanes(most) / 32767, sumOfLanes(sums) / largestSum);
  const inverse = f32x4.splat(unit > 1e-34 ? 1 / unit : 0);
  for (let i: usize = 0; i < bytes; i += 32, out += 16) {
    const low = shifted(f32x4.mul(v128.load(weights + i), inverse)),
      high = shifted(f32x4.mul(v128.load(weights + i, 16), inverse));
    v128.store(out, integersOf(low, high));
  }
  return unit;
}

/** Adds the products of a group of channels, of `tiles` tiles. */
// @ts-ignore: decorator
@inline
function addGroup<Rows>(levels: usize, tiles: i32, weights: usize, units: usize, out: usize, stateBytes: usize): void {
  const rows = countOf<Rows>();
  const bytes = <usize>tiles << 5;
  const pair = rows == 1 ? 4 : 2; // channels at once
  for (let channel = 0; channel < groupChannels; channel += pair, levels += <usize>pair * channelBytes, out += <usize>pair << 2) {
    let a0 = i32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0;
    let w = weights;
    for (let at = levels, end = levels + bytes; at < end; at += 16, w += 16) {
      const x = v128.load(at),
        y = v128.load(at, channelBytes);
      const a = v128.load(w);
      a0 = dot(a0, a, x);
      a1 = dot(a1, a, y);
      if (rows == 1) {
        b0 = dot(b0, a, v128.load(at, 2 * channelBytes));
        b1 = dot(b1, a, v128.load(at, 3 * channelBytes));
      }
      if (rows > 1) {
        const b = v128.load(w, weightBytes);
        b0 = dot(b0, b, x);
        b1 = dot(b1, b, y);
      }
      if (rows > 2) {
        const c = v128.load(w, 2 * weightBytes);
        c0 = dot(c0, c, x);
        c1 = dot(c1, c, y);
      }
    }
    const sums = f32x4.convert_i32x4_s(integerSumsOfLanes(a0, a1, b0, b1));
    if (rows == 1) {
      v128.store(out, madd(sums, v128.load32_splat(units), v128.load(out)));
      continue;
    }
    addTwo(out, sums, 0, units);
    addTwo(out + stateBytes, sums, 1, units + 4);
    if (rows > 2) addTwo(out + 2 * stateBytes, f32x4.convert_i32x4_s(integerSumsOfLanes(c0, c1, c0, c1)), 0, units + 8);
  }
}

/** Two channels of one row: the lower or the upper half of `sums`. */
// @ts-ignore: decorator
@inline
function addTwo(out: usize, sums: v128, half: i32, unit: usize): void {
  const own = half == 0 ? sums : v128.shuffle<i64>(sums, sums, 1, 0);
  v128.store64_lane(out, madd(own, v128.load32_splat(unit), v128.load64_zero(out)), 0);
}
