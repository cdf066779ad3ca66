import {EncodingDescriptor} from './encoding_descriptor';
import {attendedBits, attendedBytes, codeOf, scaleOf, zeroOf} from './integer';
import {addRests, scoreProducts} from './integer_scores';
import {madd, maximaOfLanes, sumsOfLanes} from './math';
import {areSlow, integersOf, inverseUnitsOf, restUnit, shifted, shiftedRest, unitsOf, wholeOf} from './rounding';
import {addBiasToBlock, queriesAt, scoresAt, scoreStep, sumsAt} from './row_blocks';
import {tileTokens} from './scores';
import {channelAt} from './unpacked';

// Scores of a block of rows (row_blocks.ts) against integer keys whose groups run along tokens, in integers. Within a group,
//
//     q . k_j = sum_c (q_c s_c) (code_jc + zero_c) = unit * sum_c Q_c code_jc + offset
//
// with Q the folded query q_c s_c rounded to 16 bits and `offset` exact: one integer multiply-add serves eight channels, and
// no key is decoded. Rounding leaves a score wrong by near 3e-5 for usual heads: too much if a single token carries much of
// the attention, and negligible if thousands share it. So tokens that carry more than a small part of the attention so far,
// 1/256 for usual heads, are scored again by the rounding errors of the queries, with 16 more bits.

/** Logarithm of the part of the attention so far from which on a token is scored twice, whatever the rounding errors: 1/256. */
const significant: f32 = -5.545177;

/**
 * The largest deviation of an output, relative to the values, by tokens that are scored once: with scores wrong by d, tokens of
 * less than a part t of the attention change an output by d sqrt(t) at most. (sum_j p_j^2 <= t if p_j <= t.)
 */
const tolerance: f32 = 4e-6;

/** Whether keys may be scored in integers; a sum of `dim` products of codes and 16 bits fits 32. */
export function areIntegerKeys(encoding: EncodingDescriptor): bool {
  const bits = encoding.layout & 0xff;
  return (
    encoding.kind == 1 &&
    !encoding.basis &&
    !encoding.terms && // scores are complete before it is known which of them matter
    encoding.layout >> 8 == 0 &&
    encoding.groupSize >= 16 &&
    encoding.dim << bits <= 65536 &&
    encoding.dim % max(16, 64 / attendedBits(bits)) == 0
  );
}

// What a block has in addition for integer keys: units and offsets, and those of the rounding errors, a lane per row; the group
// that they belong to; whether it has numbers that cannot be rounded; the tokens of the tile that are scored twice; three vectors
// per row while queries are folded; then the folded queries, four adjacent channels of each row, and the rounded ones and their
// rounding errors, eight.

const offsetsAt: usize = 16;
const restUnitsAt: usize = 32;
const restOffsetsAt: usize = 48;
const groupAt: usize = 64;
const slowAt: usize = 68;
const twiceAt: usize = 80;
const partsAt: usize = twiceAt + tileTokens;
const foldedAt: usize = partsAt + 192;

// @ts-ignore: decorator
@inline
function roundedAt(dim: i32, rows: i32): usize {
  return foldedAt + <usize>((dim * rows) << 2);
}

// @ts-ignore: decorator
@inline
function restsAt(dim: i32, rows: i32): usize {
  return roundedAt(dim, rows) + <usize>((dim * rows) << 1);
}

/** Bytes that a block takes in addition for integer keys. */
export function integerBlockBytes(dim: i32): usize {
  return restsAt(dim, 4) + <usize>(dim << 3);
}

/** Initialises these before the first token. */
export function startIntegers(integers: usize): void {
  store<i32>(integers, -1, groupAt);
}

/** Bytes of what `readGroup` writes. */
export function groupBytes(dim: i32): usize {
  return <usize>dim << 3;
}

/** Scales of a group of tokens, and zero points plus half the range of the codes, as floats in unpacked order. */
export function readGroup(encoding: EncodingDescriptor, head: i32, group: i32, scales: usize): void {
  const dim = encoding.dim;
  const bits = encoding.layout & 0xff,
    attended = attendedBits(bits);
  let params = <usize>encoding.params + (<usize>((head * encoding.paramRows + group) * dim) << 2);
  const end = params + (<usize>dim << 2);
  const zeros = <usize>dim << 2;
  const half = f32x4.splat(<f32>(1 << (bits - 1)));
  if (attended == 8) {
    for (; params < end; params += 16, scales += 16) storeParams(v128.load(params), half, scales, zeros);
    return;
  }
  const step = <usize>(32 / attended); // from a code to the next in unpacked order
  for (; params < end; params += 8 * step) {
    for (let first = params; first < params + step; first += 4, scales += 32) {
      storeParams(fourParams(first, step), half, scales, zeros);
      storeParams(fourParams(first + 4 * step, step), half, scales + 16, zeros);
    }
  }
}

// @ts-ignore: decorator
@inline
function fourParams(from: usize, step: usize): v128 {
  let p = v128.load32_zero(from);
  p = v128.load32_lane(from + step, p, 1);
  p = v128.load32_lane(from + 2 * step, p, 2);
  return v128.load32_lane(from + 3 * step, p, 3);
}

// @ts-ignore: decorator
@inline
function storeParams(params: v128, half: v128, scales: usize, zeros: usize): void {
  v128.store(scales, scaleOf(params));
  v128.store(scales + zeros, f32x4.add(zeroOf(params), half));
}

/**
 * Scores of a block against `count` keys of group `group`, whose numbers `readGroup` left at `scales` and whose codes are where
 * `attendedCodes` says; with their biases, unless `bias` is 0.
 */
export function scoreIntegerBlock(
  block: usize, integers: usize, rows: i32, encoding: EncodingDescriptor, group: i32, codes: usize, count: i32, scales: usize,
  bias: usize,
): void {
  const dim = encoding.dim;
  const bits = encoding.layout & 0xff,
    attended = attendedBits(bits);
  const half = <f32>(1 << (bits - 1));
  if (load<i32>(integers, groupAt) != group) {
    foldQueries(integers, block + queriesAt, rows, scales, dim, half);
    store<i32>(integers, group, groupAt);
  }
  const codeBytes = attendedBytes(dim, bits);
  const scores = block + scoresAt;
  if (load<i32>(integers, slowAt)) {
    scoreSlowly(integers, rows, codes, codeBytes, count, dim, attended, half, scales, scores);
    if (bias) addBiasToBlock(block, rows, bias, count);
    return;
  }
  const units = v128.load(integers);
  const rounded = integers + roundedAt(dim, rows);
  scoreProducts(codes, codeBytes, count, attended, rounded, rows, integers, scores);
  if (bias) addBiasToBlock(block, rows, bias, count);

  const least = leastExact(block, units, dim, bits);
  const step = rows == 1 ? 4 : 1; // tokens of a vector of scores
  const end = scores + (<usize>((count + step - 1) / step) << 4);
  let largest = v128.load(scores);
  for (let at = scores + 16; at < end; at += 16) largest = f32x4.pmax(largest, v128.load(at));
  if (!v128.any_true(f32x4.ge(largest, least))) return;
  const twice = integers + twiceAt;
  const some = listAtLeast(least, scores, rows, count, twice);
  addRests(
    codes, codeBytes, twice, some, attended, integers + restsAt(dim, rows), rows, integers + restUnitsAt, scores,
  );
}

/** Lists the tokens with a score of `least` or more, a byte each. Without a branch, which would be unpredictable. */
function listAtLeast(least: v128, scores: usize, rows: i32, count: i32, list: usize): i32 {
  let to = list;
  if (rows == 1) {
    const number = f32x4.extract_lane(least, 0);
    for (let token = 0; token < count; token++, scores += 4) {
      store<u8>(to, <u8>token);
      to += <usize>(load<f32>(scores) >= number);
    }
  } else {
    for (let token = 0; token < count; token++, scores += 16) {
      store<u8>(to, <u8>token);
      to += <usize>v128.any_true(f32x4.ge(v128.load(scores), least));
    }
  }
  return <i32>(to - list);
}

/** The scores from which on tokens are scored twice: those of much attention, and those that may be the largest so far. */
// @ts-ignore: decorator
@inline
function leastExact(block: usize, units: v128, dim: i32, bits: i32): v128 {
  // codes and roundings spread evenly: the variance of a score's rounding error is (unit 2^bits)^2 dim / 144
  const steps = f32x4.mul(units, f32x4.splat(<f32>(1 << bits) / tolerance));
  const variance = f32x4.mul(f32x4.mul(steps, steps), f32x4.splat(<f32>dim / 144)); // in squares of the tolerance
  const part = f32x4.pmin(f32x4.splat(significant), f32x4.neg(roughLog(variance)));
  const error = f32x4.mul(units, f32x4.splat(<f32>((dim << bits) >> 2))); // rounding moves a score by less
  const below = f32x4.pmin(f32x4.add(roughLog(v128.load(block, sumsAt)), part), f32x4.neg(error));
  return f32x4.add(v128.load(block), below);
}

/** ln x of a positive number from its bits as an integer: too little, by up to 0.06. Of 0: -88. */
// @ts-ignore: decorator
@inline
function roughLog(x: v128): v128 {
  const steps = f32x4.sub(f32x4.convert_i32x4_s(x), f32x4.splat(1065353216));
  return f32x4.mul(steps, f32x4.splat(8.262958294867817e-8)); // ln 2 / 2^23
}

/** Multiplies a group's scales and zero points into a block's queries; rounds them, and the rounding errors. */
function foldQueries(integers: usize, queries: usize, rows: i32, scales: usize, dim: i32, half: f32): void {
  const bytes = <usize>dim << 2,
    step = <usize>rows << 4,
    parts = integers + partsAt;
  for (let row: usize = 0; row < step; row += 16) {
    let query = queries + row,
      folded = integers + foldedAt + row;
    let maxima = f32x4.splat(0),
      exact = maxima;
    for (let i: usize = 0; i < bytes; i += 16, query += step, folded += step) {
      const f = f32x4.mul(v128.load(query), v128.load(scales + i));
      v128.store(folded, f);
      maxima = f32x4.pmax(maxima, f32x4.abs(f));
      exact = madd(f, v128.load(scales + i + bytes), exact);
    }
    v128.store(parts + row, maxima);
    v128.store(parts + row, exact, 64);
  }
  const largest = maxOfRows(parts, rows);
  store<i32>(integers, <i32>v128.any_true(areSlow(largest)), slowAt);
  const exact = sumOfRows(parts + 64, rows);
  v128.store(parts, inverseUnitsOf(largest));
  for (let row: usize = 0; row < step; row += 16) {
    const inverse = v128.load32_splat(parts + (row >> 2));
    let folded = integers + foldedAt + row,
      rounded = integers + roundedAt(dim, rows) + row,
      rests = integers + restsAt(dim, rows) + row;
    let sums = f32x4.splat(0),
      errors = sums;
    for (let i: usize = 0; i < bytes; i += 32, folded += 2 * step, rounded += step, rests += step) {
      const x = f32x4.mul(v128.load(folded), inverse),
        y = f32x4.mul(v128.load(folded + step), inverse);
      const low = shifted(x),
        high = shifted(y);
      v128.store(rounded, integersOf(low, high));
      const wholeX = wholeOf(low),
        wholeY = wholeOf(high);
      sums = f32x4.add(sums, f32x4.add(wholeX, wholeY));
      const restX = f32x4.sub(x, wholeX),
        restY = f32x4.sub(y, wholeY);
      errors = f32x4.add(errors, f32x4.add(restX, restY));
      v128.store(rests, integersOf(shiftedRest(restX), shiftedRest(restY)));
    }
    v128.store(parts + row, sums, 64);
    v128.store(parts + row, errors, 128);
  }
  const units = unitsOf(largest);
  const middles = f32x4.mul(units, f32x4.splat(half));
  v128.store(integers, units);
  v128.store(integers, f32x4.sub(exact, f32x4.mul(middles, sumOfRows(parts + 64, rows))), offsetsAt);
  v128.store(integers, f32x4.mul(units, f32x4.splat(restUnit)), restUnitsAt);
  v128.store(integers, f32x4.neg(f32x4.mul(middles, sumOfRows(parts + 128, rows))), restOffsetsAt);
}

/** The sums of a vector for each row, a lane for each. */
// @ts-ignore: decorator
@inline
function sumOfRows(parts: usize, rows: i32): v128 {
  return sumsOfLanes(v128.load(parts), partOf(1, parts, rows), partOf(2, parts, rows), partOf(3, parts, rows));
}

/** The largest numbers of a vector for each row, a lane for each. */
// @ts-ignore: decorator
@inline
function maxOfRows(parts: usize, rows: i32): v128 {
  return maximaOfLanes(v128.load(parts), partOf(1, parts, rows), partOf(2, parts, rows), partOf(3, parts, rows));
}

/** The vector of the row whose numbers a lane holds: lanes without a row hold another's, the same as in `productsOf`. */
// @ts-ignore: decorator
@inline
function partOf(lane: i32, parts: usize, rows: i32): v128 {
  const row = lane < rows ? lane : rows == 1 ? 0 : lane - 2;
  return v128.load(parts + (<usize>row << 4));
}

/** Scores by the folded queries themselves, if some are too large or too small to be rounded. */
function scoreSlowly(
  integers: usize, rows: i32, codes: usize, codeBytes: usize, count: i32, dim: i32, bits: i32, half: f32, scales: usize,
  scores: usize,
): void {
  const zeros = scales + (<usize>dim << 2);
  for (let token = 0; token < count; token++, codes += codeBytes) {
    for (let row = 0; row < rows; row++) {
      let sum: f32 = 0;
      for (let place = 0; place < dim; place++) {
        const folded = integers + foldedAt + (<usize>((place >> 2) * rows + row) << 4) + (<usize>(place & 3) << 2);
        const code = <f32>codeOf(codes, channelAt(place, bits), dim, bits) - half;
        sum += load<f32>(folded) * (code + load<f32>(zeros + (<usize>place << 2)));
      }
      store<f32>(scores + (<usize>(token * (rows == 1 ? 1 : 4) + row) << 2), sum);
    }
  }
}
