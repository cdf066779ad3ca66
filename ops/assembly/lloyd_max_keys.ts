import {countOf, One, Two} from './counts';
import {EncodingDescriptor} from './encoding_descriptor';
import {codeTile, firstCodes, highWords, lowWords, readScales, swizzle, tileStride} from './lloyd_max';
import {middleOf, restsAt, roundedAt, roundedBytes, tableBytes, tablesAt} from './lloyd_max_tables';
import {expOf4, madd, maxOfLanes, sumOfLanes} from './math';

// Scores of rows of queries against codes of the kind `lloydMax` (lloyd_max.ts) by table scan (as product quantisation does: Jegou,
// Douze and Schmid, 2011): a score is a sum of terms that depend on one nibble each,
//
//     q . k = s sum_n F_n[nibble_n]        F_n[i] = the sum of q_c times the term of c, over the channels c of nibble n
//
// so one `swizzle` adds a nibble's part to the scores of 16 tokens. Look-ups give bytes, so F is rounded to 15 bits, F = least + unit
// (256 upper + lower), and takes two. Upper bytes are below 128, so that two add up before they are widened. What rounding leaves wrong,
// near 1e-4 for scores of usual size, is too much if a single token carries much of the attention: tiles with such tokens are scanned
// again by what rounding left of F, in 15 more bits.

/** More vectors than these could overflow 16-bit sums. */
export const mostVectors: i32 = 128;

/** The part of the attention from which on a token is mended, whatever the rounding errors. */
const significant: f32 = 1.0 / 64;

/**
 * The standard deviation of an output, relative to the values, by tokens that are not mended: with scores wrong by d, tokens of less
 * than a part t of the attention change an output by d sqrt(t) at most. (sum_j p_j^2 <= t if p_j <= t.)
 */
const tolerance: f32 = 5e-6;

/** Rounded scores of one row against the tokens of `tiles` tiles, `stride` bytes apart; `scales` are those of their tokens. */
export function scoreTiles(tables: usize, vectors: i32, codes: usize, stride: usize, tiles: i32, scales: usize, scores: usize): void {
  store<u64>(tables, 0);
  scanTiles(tables + tablesAt, vectors, codes, stride, tiles, scales, scores);
}

/** Sums of the terms of one table, times scales, two tiles at a time. */
function scanTiles(tables: usize, vectors: i32, codes: usize, stride: usize, tiles: i32, scales: usize, scores: usize): void {
  let tile = 0;
  for (; tile + 2 <= tiles; tile += 2, codes += 2 * stride, scales += 128, scores += 128) {
    scan<Two>(tables, vectors, codes, codes + stride, scales, scores);
  }
  if (tile < tiles) scan<One>(tables, vectors, codes, codes, scales, scores);
}

// @ts-ignore: decorator
@inline
function scan<Tiles>(tables: usize, vectors: i32, a: usize, b: usize, scales: usize, scores: usize): void {
  const isPair = countOf<Tiles>() == 2;
  const unit = f32x4.splat(load<f32>(tables)),
    sum = f32x4.splat(load<f32>(tables, 4)),
    middle = i16x8.splat(<i16>middleOf(vectors));
  const from = tables + roundedAt,
    end = from + <usize>vectors * roundedBytes;
  let lower0 = i16x8.splat(0),
    lower1 = lower0,
    upper0 = lower0,
    upper1 = lower0,
    lower2 = lower0,
    lower3 = lower0,
    upper2 = lower0,
    upper3 = lower0;
  // sums of bytes as 16-bit numbers: of all of them, an odd byte as 256 times its number, and of the odd bytes
  for (let table = from; table < end; table += roundedBytes, a += 16, b += 16) {
    const x = v128.load(a),
      y = isPair ? v128.load(b) : x;
    const low = v128.and(x, i8x16.splat(15)),
      high = v128.and(i16x8.shr_u(x, 4), i8x16.splat(15));
    const low1 = v128.and(y, i8x16.splat(15)),
      high1 = v128.and(i16x8.shr_u(y, 4), i8x16.splat(15));
    let first = v128.load(table),
      second = v128.load(table, 16);
    let one = swizzle(first, low),
      other = swizzle(second, high);
    lower0 = i16x8.add(lower0, i16x8.add(one, other));
    lower1 = i16x8.add(lower1, i16x8.add(i16x8.shr_u(one, 8), i16x8.shr_u(other, 8)));
    if (isPair) {
      one = swizzle(first, low1);
      other = swizzle(second, high1);
      lower2 = i16x8.add(lower2, i16x8.add(one, other));
      lower3 = i16x8.add(lower3, i16x8.add(i16x8.shr_u(one, 8), i16x8.shr_u(other, 8)));
    }
    first = v128.load(table, 32);
    second = v128.load(table, 48);
    let pair = i8x16.add(swizzle(first, low), swizzle(second, high));
    upper0 = i16x8.add(upper0, pair);
    upper1 = i16x8.add(upper1, i16x8.shr_u(pair, 8));
    if (isPair) {
      pair = i8x16.add(swizzle(first, low1), swizzle(second, high1));
      upper2 = i16x8.add(upper2, pair);
      upper3 = i16x8.add(upper3, i16x8.shr_u(pair, 8));
    }
  }
  storeScores(lower0, lower1, upper0, upper1, middle, unit, sum, scales, scores);
  if (isPair) storeScores(lower2, lower3, upper2, upper3, middle, unit, sum, scales + 64, scores + 64);
}

/** Sixteen scores of their sums of bytes. */
// @ts-ignore: decorator
@inline
function storeScores(
  lower: v128, lowerOdd: v128, upper: v128, upperOdd: v128, middle: v128, unit: v128, sum: v128, scales: usize, scores: usize,
): void {
  const lowerEven = i16x8.sub(i16x8.sub(lower, i16x8.shl(lowerOdd, 8)), middle),
    upperEven = i16x8.sub(upper, i16x8.shl(upperOdd, 8));
  lowerOdd = i16x8.sub(lowerOdd, middle);
  const lower0 = lowWords(lowerEven, lowerOdd),
    lower1 = highWords(lowerEven, lowerOdd),
    upper0 = lowWords(upperEven, upperOdd),
    upper1 = highWords(upperEven, upperOdd);
  storeFour(lowWords(lower0, upper0), unit, sum, scales, scores);
  storeFour(highWords(lower0, upper0), unit, sum, scales + 16, scores + 16);
  storeFour(lowWords(lower1, upper1), unit, sum, scales + 32, scores + 32);
  storeFour(highWords(lower1, upper1), unit, sum, scales + 48, scores + 48);
}

// @ts-ignore: decorator
@inline
function storeFour(pairs: v128, unit: v128, sum: v128, scales: usize, scores: usize): void {
  const terms = f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(pairs, i32x4.splat(256 << 16 | 1)));
  v128.store(scores, f32x4.mul(madd(terms, unit, sum), v128.load(scales)));
}

/** What rounding left of the scores of one tile of the block; 0 if it has been mended. */
function restsOf(tables: usize, vectors: i32, codes: usize, stride: usize, tile: i32, scales: usize): usize {
  const mended = load<u64>(tables),
    bit = <u64>1 << tile;
  if (mended & bit) return 0;
  store<u64>(tables, mended | bit);
  const rests = tables + tablesAt + tableBytes(vectors);
  scanTiles(rests, vectors, codes + <usize>tile * stride, 0, 1, scales + (<usize>tile << 6), tables + restsAt);
  return tables + restsAt;
}

/**
 * Mends the scores of those of `count` tokens that may be the largest; `largestScale` is that of their tokens, `largest` the largest score
 * of the row so far; the result that of these tokens, too.
 */
export function mendLargest(
  tables: usize, vectors: i32, codes: usize, stride: usize, count: i32, scales: usize, largestScale: f32, scores: usize, largest: f32,
): f32 {
  const whole = (count + 15) & ~15;
  for (let j = count; j < whole; j++) store<f32>(scores + (<usize>j << 2), -Infinity);
  const end = scores + (<usize>whole << 2);
  let m0 = v128.load(scores),
    m1 = m0,
    m2 = m0,
    m3 = m0;
  for (let at = scores; at < end; at += 64) {
    m0 = f32x4.pmax(m0, v128.load(at));
    m1 = f32x4.pmax(m1, v128.load(at, 16));
    m2 = f32x4.pmax(m2, v128.load(at, 32));
    m3 = f32x4.pmax(m3, v128.load(at, 48));
  }
  const most = maxOfLanes(f32x4.pmax(f32x4.pmax(m0, m1), f32x4.pmax(m2, m3)));
  // each of two terms of a vector is wrong by half a unit at most
  const error = load<f32>(tables + tablesAt) * largestScale * <f32>vectors;
  const least = max(most, largest) - 2 * error;
  if (most < least) return largest;
  for (let tile = 0; tile << 4 < count; tile++) {
    const at = scores + (<usize>tile << 6);
    if (!areAtLeast(at, least)) continue;
    const rests = restsOf(tables, vectors, codes, stride, tile, scales);
    let maxima = f32x4.splat(-Infinity);
    for (let i: usize = 0; i < 64; i += 16) {
      const mended = f32x4.add(v128.load(at + i), v128.load(rests + i));
      v128.store(at + i, mended);
      maxima = f32x4.pmax(maxima, mended);
    }
    largest = max(largest, maxOfLanes(maxima));
  }
  return largest;
}

/**
 * Mends weights of those of `count` tokens that carry more than a small part of the attention. `tail` has the largest score of the row and
 * the sum of its weights so far, of these tokens, too; `ofBlock` and `squares` are the sums of their weights and of the squares of these.
 */
export function mendWeights(
  tables: usize, vectors: i32, codes: usize, stride: usize, count: i32, scales: usize, largestScale: f32, weights: usize, tail: usize,
  ofBlock: f32, squares: f32,
): void {
  const unit = load<f32>(tables + tablesAt) * largestScale;
  const bound = tolerance * tolerance / max<f32>(1e-30, unit * unit * <f32>vectors / 6); // rounding errors spread evenly over a unit
  let sum = load<f32>(tail, 4);
  // the sum of squares over all blocks is at most `bound` times the square of the sum, if it is for each block and the tokens so far
  if (squares <= bound * ofBlock * sum) return;
  const least = max<f32>(1e-30, min(significant, bound) * sum);
  for (let tile = 0; tile << 4 < count; tile++) {
    const at = weights + (<usize>tile << 6);
    if (!areAtLeast(at, least)) continue;
    const rests = restsOf(tables, vectors, codes, stride, tile, scales);
    if (!rests) continue;
    let sums = f32x4.splat(0);
    for (let i: usize = 0; i < 64; i += 16) {
      const weight = v128.load(at + i);
      const mended = f32x4.mul(weight, expOf4(v128.load(rests + i)));
      v128.store(at + i, mended);
      sums = f32x4.add(sums, f32x4.sub(mended, weight));
    }
    sum += sumOfLanes(sums);
  }
  store<f32>(tail, sum, 4);
}

/** Whether any of sixteen numbers is `least` or more. */
// @ts-ignore: decorator
@inline
function areAtLeast(numbers: usize, least: f32): bool {
  const bounds = f32x4.splat(least);
  const a = f32x4.ge(v128.load(numbers), bounds),
    b = f32x4.ge(v128.load(numbers, 16), bounds),
    c = f32x4.ge(v128.load(numbers, 32), bounds),
    d = f32x4.ge(v128.load(numbers, 48), bounds);
  return v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)));
}

/** Scales of the tokens of some tiles; the largest of them. */
export function readTileScales(encoding: EncodingDescriptor, head: i32, from: i32, tiles: i32, scales: usize): f32 {
  let largest = f32x4.splat(0);
  for (let tile = 0; tile < tiles; tile++) {
    readScales(encoding, head, from + tile, scales);
    for (const end = scales + (<usize>codeTile << 2); scales < end; scales += 16) largest = f32x4.pmax(largest, v128.load(scales));
  }
  return maxOfLanes(largest);
}

/** The address of the codes of one head in one tile. */
export function codesOfTile(encoding: EncodingDescriptor, head: i32, tile: i32): usize {
  return firstCodes(encoding, head) + <usize>tile * tileStride(encoding);
}
