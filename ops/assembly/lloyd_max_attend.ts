import {addBias, biasAt} from './bias';
import {EncodingDescriptor} from './encoding_descriptor';
import {codeTile, tileStride, vectorsOf} from './lloyd_max';
import {codesOfTile, mendLargest, mendWeights, mostVectors, readTileScales, scoreTiles} from './lloyd_max_keys';
import {makeTables, makeTablesBytes, rowTableBytes} from './lloyd_max_tables';
import {addValues, valueScratch, valueTokens} from './lloyd_max_values';
import {
  boundedBelow, expOf, exponentOf, madd, powerOf, restOfPower, roundedPower, sumOfLanes,
} from './math';
import {meanTerms} from './mean_terms';
import {ownSum} from './row_blocks';
import {firstSeen, hideFirst} from './visible';

// Decoding over codes of the kind `lloydMax` on both sides, a block of tokens at a time, row by row. The rows of the partial are the
// running state: [output of dimV floats, max, sum].

/** Tokens of a block: so many that few of the first ones carry a part of the attention so far that asks for exact numbers. */
const blockTokens: i32 = 1024;

/** Whether both sides are such codes, of keys that need no rotation, and few enough bits that sums of look-ups fit. */
export function areScanned(keys: EncodingDescriptor, values: EncodingDescriptor): bool {
  return keys.kind == 3 && values.kind == 3 && !keys.basis && mostOfHeads(keys) <= mostVectors;
}

/** The largest number of vectors of a head. */
function mostOfHeads(encoding: EncodingDescriptor): i32 {
  let most = 0;
  for (let head = 0; head < encoding.groupSize; head++) most = max(most, vectorsOf(encoding, head));
  return most;
}

// Scratch memory: scales of keys and values; exponents of a row; scores of each row, and what a rotated mean adds to them; tables of each
// row; what making tables and adding values take.

const scaleBytes: usize = <usize>blockTokens << 2;
const scoreBytes: usize = <usize>blockTokens << 2;

function termBytes(keys: EncodingDescriptor): usize {
  return keys.terms ? scoreBytes : 0;
}

/** Bytes of scratch memory of `attendCodes`. */
export function attendCodesScratch(keys: EncodingDescriptor, values: EncodingDescriptor, rows: i32): usize {
  const vectors = mostOfHeads(keys);
  const ofRow = scoreBytes + termBytes(keys) + rowTableBytes(vectors);
  const work = max(makeTablesBytes(vectors), valueScratch(rows, values.dim));
  return 2 * scaleBytes + scoreBytes + <usize>rows * ofRow + work;
}

/** One head of `attend`; its rows of the partial are [0, -Infinity, 0]. */
export function attendCodes(
  queries: usize,
  keys: EncodingDescriptor,
  values: EncodingDescriptor,
  partial: usize,
  scratch: usize,
  head: i32,
  rows: i32,
  queryTokens: i32,
  lastVisible: i32,
  causal: i32,
  firstQuery: i32,
  scale: f32,
  angles: usize,
  termScratch: usize,
  seen: usize,
  oldest: i32,
): void {
  const dimV = values.dim;
  const vectors = vectorsOf(keys, head);
  const tableBytes = rowTableBytes(vectors),
    stateBytes = <usize>(dimV + 2) << 2;
  const keyScales = scratch,
    valueScales = keyScales + scaleBytes,
    exponents = valueScales + scaleBytes,
    scores = exponents + scoreBytes,
    terms = scores + <usize>rows * scoreBytes,
    tables = terms + <usize>rows * termBytes(keys),
    work = tables + <usize>rows * tableBytes;
  for (let row: usize = 0; row < <usize>rows; row++) {
    makeTables(keys, head, vectors, queries + ((row * <usize>keys.dim) << 2), scale, tables + row * tableBytes, work);
    if (seen) store<u64>(partial + row * stateBytes + (<usize>dimV << 2), load<u64>(seen + (row << 3)));
  }
  const stride = tileStride(keys);
  for (let from = firstSeen(oldest, lastVisible) & -codeTile; from < lastVisible; from += blockTokens) {
    const count = min(blockTokens, lastVisible - from);
    const tile = from / codeTile,
      tiles = (count + codeTile - 1) / codeTile;
    const largestScale = readTileScales(keys, head, tile, tiles, keyScales);
    const codes = codesOfTile(keys, head, tile);
    const bias = biasAt(keys, head, from);
    if (angles) meanTerms(keys, head, from, count, angles, rows, scale, termScratch, terms, scoreBytes);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const visible = causal ? min(count, firstQuery + (<i32>row % queryTokens) - from + 1) : count;
      const own = scores + row * scoreBytes,
        term = angles ? terms + row * scoreBytes : 0,
        table = tables + row * tableBytes,
        state = partial + row * stateBytes,
        tail = state + (<usize>dimV << 2);
      if (visible > 0) {
        scoreTiles(table, vectors, codes, stride, tiles, keyScales, own);
        if (angles) addNumbers(own, term, count);
        if (bias) addBias(own, bias, count);
        hideFirst(own, oldest + (<i32>row % queryTokens) - from, count);
        const before = load<f32>(tail);
        const largest = mendLargest(table, vectors, codes, stride, visible, keyScales, largestScale, own, before);
        if (largest != before) rescale(state, dimV, largest);
        weigh(own, visible, largest, exponents);
        const sum = load<f32>(exponents);
        store<f32>(tail, load<f32>(tail, 4) + sum, 4);
        const squares = load<f32>(exponents, 4);
        mendWeights(table, vectors, codes, stride, visible, keyScales, largestScale, own, tail, sum, squares);
      }
      const seen = (max(visible, 0) + 15) & ~15;
      if (seen < count) memory.fill(own + (<usize>seen << 2), 0, <usize>(count - seen) << 2);
    }
    readTileScales(values, head, tile, tiles, valueScales);
    for (let first = 0; first < count; first += valueTokens) {
      const some = min(valueTokens, count - first),
        at = <usize>first << 2,
        own = tile + first / codeTile;
      addValues(
        values, head, codesOfTile(values, head, own), own, some, rows, scores + at, scoreBytes, valueScales + at, partial, work,
      );
    }
  }
  for (let row: usize = 0; seen && row < <usize>rows; row++) {
    const tail = partial + row * stateBytes + (<usize>dimV << 2);
    store<f32>(tail, ownSum(load<f32>(tail), load<f32>(tail, 4), seen + (row << 3)), 4);
  }
}

/** Rescales the state of a row to a new largest score. */
function rescale(state: usize, dimV: i32, largest: f32): void {
  const tail = state + (<usize>dimV << 2);
  const factor = expOf(load<f32>(tail) - largest),
    factors = f32x4.splat(factor);
  for (let at = state; at < tail; at += 16) v128.store(at, f32x4.mul(v128.load(at), factors));
  store<f32>(tail, largest);
  store<f32>(tail, load<f32>(tail, 4) * factor, 4);
}

/**
 * Turns scores, up to a multiple of 16 of which the last are -Infinity, into weights exp(s - largest). Leaves their sum and the sum of
 * their squares at `exponents`, which has room for as many numbers.
 */
function weigh(scores: usize, count: i32, largest: f32, exponents: usize): void {
  const end = scores + (<usize>((count + 15) & ~15) << 2);
  // if every score is -Infinity, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = f32x4.splat(largest == -Infinity ? 0 : largest);
  let to = exponents;
  for (let at = scores; at < end; at += 16, to += 16) {
    const x = boundedBelow(f32x4.sub(v128.load(at), shift));
    const shifted = roundedPower(x);
    v128.store(at, restOfPower(x, shifted));
    v128.store(to, exponentOf(shifted));
  }
  let sums = f32x4.splat(0),
    squares = sums;
  to = exponents;
  for (let at = scores; at < end; at += 16, to += 16) {
    const weights = f32x4.mul(powerOf(v128.load(at)), v128.load(to));
    sums = f32x4.add(sums, weights);
    squares = madd(weights, weights, squares);
    v128.store(at, weights);
  }
  store<f32>(exponents, sumOfLanes(sums));
  store<f32>(exponents, sumOfLanes(squares), 4);
}

/** x += y, of `count` numbers up to a multiple of four. */
function addNumbers(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(x, f32x4.add(v128.load(x), v128.load(y)));
}
