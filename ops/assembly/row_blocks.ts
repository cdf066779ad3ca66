import {addBias} from './bias';
import {boundedBelow, expOf, expOf4, exponentOf, maxOfLanes, powerOf, restOfPower, roundedPower, sumOfLanes} from './math';
import {tileTokens} from './scores';

// Decoding: the few rows of queries of one key head are applied to a tile of dense tokens in blocks of up to four. A block's scores,
// later its weights, are a vector per token with a lane per row (of a single row: one number per token), so that the softmax
// serves all rows at once. Queries and outputs have four adjacent channels of each row, so that a loop over channels has one
// address for all rows; the channels left over are a vector each, with a lane per row. Lanes without a row hold copies of
// another row and are never read.

/** Rows of the next block if `left` are left: blocks as equal as possible, of up to four. */
export function blockRows(left: i32): i32 {
  const blocks = (left + 3) >> 2;
  return (left + blocks - 1) / blocks;
}

// A block in scratch memory: maxima, sums, and the factors of the latest tile, a vector each; scores; room for as many
// exponents; queries; outputs.

export const sumsAt: usize = 16;
const factorsAt: usize = 32;
export const scoresAt: usize = 48;
const exponentsAt: usize = scoresAt + <usize>(tileTokens << 4);
/** After the softmax: the tokens whose values are read, a byte each, and how many they are. */
export const listAt: usize = exponentsAt;
export const listedAt: usize = factorsAt;
/** After the softmax: the smallest weight of each row. */
export const smallestAt: usize = listAt + <usize>(2 * tileTokens);
export const queriesAt: usize = exponentsAt + <usize>(tileTokens << 4);

// @ts-ignore: decorator
@inline
export function outputsAt(dim: i32): usize {
  return queriesAt + channelBytes(dim);
}

/** Bytes of the channels of a block's queries or outputs. */
// @ts-ignore: decorator
@inline
function channelBytes(dim: i32): usize {
  return <usize>((dim & ~3) + ((dim & 3) << 2)) << 4;
}

/** Bytes of a block in scratch memory, for keys of `dim` and values of `dimV`. */
export function blockBytes(dim: i32, dimV: i32): usize {
  return outputsAt(dim) + channelBytes(dimV);
}

/** Bytes from a token's scores to those of the next. */
// @ts-ignore: decorator
@inline
export function scoreStep(rows: i32): usize {
  return rows == 1 ? 4 : 16;
}

/** A block before its first token: its queries, times `scale`. `seen` has the largest score and the sum of each row so far, or is 0. */
export function startBlock(block: usize, queries: usize, rows: i32, dim: i32, dimV: i32, scale: f32, seen: usize): void {
  v128.store(block, f32x4.splat(-Infinity));
  v128.store(block, f32x4.splat(0), sumsAt);
  if (seen) {
    for (let row: usize = 0; row < 4; row++) {
      const own = seen + (<usize>min(<i32>row, rows - 1) << 3);
      store<f32>(block + (row << 2), load<f32>(own));
      store<f32>(block + (row << 2), load<f32>(own, 4), sumsAt);
    }
  }
  memory.fill(block + outputsAt(dim), 0, channelBytes(dimV));
  const bytes = <usize>dim << 2,
    vectorBytes = bytes & ~15;
  const scales = f32x4.splat(scale);
  let to = block + queriesAt;
  for (let i: usize = 0; i < vectorBytes; i += 16) {
    for (let row = 0; row < rows; row++, to += 16) {
      v128.store(to, f32x4.mul(v128.load(queries + <usize>row * bytes + i), scales));
    }
  }
  for (let i = vectorBytes; i < bytes; i += 4) {
    for (let lane = 0; lane < 4; lane++, to += 4) {
      store<f32>(to, load<f32>(queries + <usize>min(lane, rows - 1) * bytes + i) * scale);
    }
  }
}

/** A block's outputs, maxima and sums without what had been seen before, as rows of the partial. */
export function finishBlock(block: usize, rows: i32, dim: i32, dimV: i32, partial: usize, seen: usize): void {
  const bytes = <usize>dimV << 2,
    vectorBytes = bytes & ~15;
  for (let row: usize = 0; row < <usize>rows; row++, partial += bytes + 8) {
    let from = block + outputsAt(dim) + (row << 4);
    for (let i: usize = 0; i < vectorBytes; i += 16, from += <usize>rows << 4) v128.store(partial + i, v128.load(from));
    from -= row * 12;
    for (let i = vectorBytes; i < bytes; i += 4, from += 16) store<f32>(partial + i, load<f32>(from));
    const largest = load<f32>(block + (row << 2)),
      sum = load<f32>(block + (row << 2), sumsAt);
    store<f32>(partial + bytes, largest);
    store<f32>(partial + bytes, seen ? ownSum(largest, sum, seen + (row << 3)) : sum, 4);
  }
}

/** A sum without that of the tokens that had been seen before, which is relative to their largest score. */
export function ownSum(largest: f32, sum: f32, seen: usize): f32 {
  const before = load<f32>(seen);
  return before == -Infinity ? sum : sum - load<f32>(seen, 4) * expOf(before - largest);
}

/** Adds numbers of each row, `rowBytes` apart, to the scores of a block. */
export function addTerms(block: usize, rows: i32, terms: usize, rowBytes: usize, count: i32): void {
  const step = scoreStep(rows);
  for (let row: usize = 0; row < <usize>rows; row++, terms += rowBytes) {
    let at = block + scoresAt + (row << 2);
    for (let j: usize = 0; j < <usize>count; j++, at += step) store<f32>(at, load<f32>(at) + load<f32>(terms + (j << 2)));
  }
}

/** Adds a number of each token to its scores. */
export function addBiasToBlock(block: usize, rows: i32, bias: usize, count: i32): void {
  if (rows == 1) return addBias(block + scoresAt, bias, count);
  let at = block + scoresAt;
  for (const end = bias + (<usize>count << 2); bias < end; bias += 4, at += 16) {
    v128.store(at, f32x4.add(v128.load(at), v128.load32_splat(bias)));
  }
}

/** Hides from a row of a block its first `hidden` tokens. */
export function hideFirstTokens(block: usize, rows: i32, row: i32, hidden: i32, count: i32): void {
  const step = scoreStep(rows);
  const scores = block + scoresAt + (<usize>row << 2);
  for (let j = 0; j < min(hidden, count); j++) store<f32>(scores + <usize>j * step, -Infinity);
}

/** Hides from a row of a block its tokens from `visible` on. */
export function hideTokens(block: usize, rows: i32, row: i32, visible: i32, count: i32): void {
  const step = scoreStep(rows);
  const scores = block + scoresAt + (<usize>row << 2);
  for (let j = max(visible, 0); j < count; j++) store<f32>(scores + <usize>j * step, -Infinity);
}

/** Turns a block's scores into weights exp(s - m), m the maxima with these tokens, and rescales its outputs to m. */
export function softmaxBlock(block: usize, rows: i32, count: i32, dim: i32, dimV: i32): void {
  const scores = block + scoresAt;
  const whole = (count + 3) & ~3;
  if (rows == 1) for (let j = count; j < whole; j++) store<f32>(scores + (<usize>j << 2), -Infinity);
  const end = scores + (rows == 1 ? <usize>whole << 2 : <usize>count << 4);
  const oldMax = v128.load(block);
  let newMax = oldMax;
  for (let at = scores; at < end; at += 16) newMax = f32x4.pmax(newMax, v128.load(at));
  if (rows == 1) newMax = f32x4.splat(maxOfLanes(newMax));
  // if every score is -Infinity, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = v128.andnot(newMax, f32x4.eq(newMax, f32x4.splat(-Infinity)));
  let sums = f32x4.splat(0);
  for (let at = scores; at < end; at += 16) {
    const x = boundedBelow(f32x4.sub(v128.load(at), shift));
    const shifted = roundedPower(x);
    v128.store(at, restOfPower(x, shifted));
    v128.store(at, exponentOf(shifted), exponentsAt - scoresAt);
  }
  let smallest = f32x4.splat(1);
  for (let at = scores; at < end; at += 16) {
    const weights = f32x4.mul(powerOf(v128.load(at)), v128.load(at, exponentsAt - scoresAt));
    sums = f32x4.add(sums, weights);
    smallest = f32x4.pmin(smallest, weights);
    v128.store(at, weights);
  }
  v128.store(block, smallest, smallestAt);
  if (rows == 1) sums = f32x4.splat(sumOfLanes(sums));
  let before = v128.load(block, sumsAt);
  if (v128.any_true(f32x4.ne(newMax, oldMax))) {
    const factors = expOf4(f32x4.sub(oldMax, shift));
    before = f32x4.mul(before, factors);
    v128.store(block, newMax);
    v128.store(block, factors, factorsAt);
    scaleOutputs(block, rows, block + outputsAt(dim), dimV, factors);
  }
  v128.store(block, f32x4.add(before, sums), sumsAt);
}

/**
 * Lists the tokens of a block that have, in one row at least, `least` or more of the attention so far, and moves their weights together.
 * Leaves their number at `listedAt`, and behind the list the two tokens that follow `count`, or the last one, twice, to be read ahead.
 */
export function listTokens(block: usize, rows: i32, count: i32, tokensLeft: i32, least: f32): i32 {
  const list = block + listAt;
  const bounds = f32x4.mul(v128.load(block, sumsAt), f32x4.splat(least));
  const smallest = v128.load(block, smallestAt);
  const isWhole = rows == 1 ? i32x4.all_true(f32x4.ge(smallest, bounds)) : v128.any_true(f32x4.ge(smallest, bounds));
  // of a NaN nothing can be said
  const listed = isWhole || v128.any_true(f32x4.ne(bounds, bounds)) ? listAll(list, count) : listSome(block, rows, count, bounds);
  const next = min(count, tokensLeft - 1),
    afterNext = min(count + 1, tokensLeft - 1);
  store<u32>(list + <usize>listed, (next | (afterNext << 8)) * 0x10001);
  store<i32>(block + listedAt, listed);
  return listed;
}

function listAll(list: usize, count: i32): i32 {
  let tokens = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (const end = list + <usize>count; list < end; list += 16) {
    v128.store(list, tokens);
    tokens = i8x16.add(tokens, i8x16.splat(16));
  }
  return count;
}

/** Without a branch, which would be unpredictable. */
function listSome(block: usize, rows: i32, count: i32, bounds: v128): i32 {
  const list = block + listAt,
    weights = block + scoresAt;
  let listed: usize = 0;
  if (rows == 1) {
    const bound = f32x4.extract_lane(bounds, 0);
    for (let token: usize = 0; token < <usize>count; token++) {
      const weight = load<f32>(weights + (token << 2));
      store<u8>(list + listed, <u8>token);
      store<f32>(weights + (listed << 2), weight);
      listed += <usize>(weight >= bound);
    }
  } else {
    for (let token: usize = 0; token < <usize>count; token++) {
      const weight = v128.load(weights + (token << 4));
      store<u8>(list + listed, <u8>token);
      v128.store(weights + (listed << 4), weight);
      listed += <usize>v128.any_true(f32x4.ge(weight, bounds));
    }
  }
  return <i32>listed;
}

function scaleOutputs(block: usize, rows: i32, outputs: usize, dimV: i32, factors: v128): void {
  for (let row: usize = 0; row < <usize>rows; row++) {
    const factor = v128.load32_splat(block + factorsAt + (row << 2));
    let at = outputs + (row << 4);
    for (let i = 0; i + 4 <= dimV; i += 4, at += <usize>rows << 4) v128.store(at, f32x4.mul(v128.load(at), factor));
  }
  let at = outputs + (<usize>((dimV >> 2) * rows) << 4);
  for (let i = dimV & 3; i > 0; i--, at += 16) v128.store(at, f32x4.mul(v128.load(at), factors));
}
