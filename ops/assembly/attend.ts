import {addBias, biasAt} from './bias';
import {addBlock, scoreBlock} from './block_products';
import {EncodingDescriptor} from './encoding_descriptor';
import {attendedBits, attendedCodes} from './integer';
import {
  areIntegerKeys, groupBytes, integerBlockBytes, readGroup, scoreIntegerBlock, startIntegers,
} from './integer_keys';
import {addIntegerBlock, areIntegerValues, integerValueBytes} from './integer_values';
import {areScanned, attendCodes, attendCodesScratch} from './lloyd_max_attend';
import {meanTerms, termsScratch} from './mean_terms';
import {addFourRows, addRow} from './multiply_add';
import {
  addBiasToBlock, addTerms, blockBytes, blockRows, finishBlock, hideFirstTokens, hideTokens, listTokens, scoresAt, scoreStep,
  softmaxBlock, startBlock,
} from './row_blocks';
import {scoreFourRows, scoreRow, tileTokens, transposeTile} from './scores';
import {capScores} from './soft_cap';
import {softmaxRow} from './softmax_row';
import {dimOf, isInPlace, readTile, tileBytes, touchTokens} from './tiles';
import {toChannels, toUnpacked} from './unpacked';
import {firstSeen, hideFirst} from './visible';

// Attention over one segment, tile by tile with an online softmax (FlashAttention, arXiv 2205.14135). The query heads of
// one key head are adjacent in memory, so their queries are one matrix of `rows` rows, and a tile is read once for
// all of them. A row of the partial is [output of dimV floats, max, sum]; it is also the running state.

/** Up to this many rows of queries are taken in blocks; with more, transposing the tiles of keys pays. */
const fewRows: i32 = 16;

/** Tokens that are attended first if values may be left unread. */
const nearTokens: i32 = 64;

/** Bytes of scratch memory that `attend` takes for `rows` rows of queries of each key head. */
export function attendScratch(keys: usize, values: usize, rows: i32, softCap: f32): usize {
  const keyEncoding = changetype<EncodingDescriptor>(keys),
    valueEncoding = changetype<EncodingDescriptor>(values);
  const ofTerms = termsScratch(keyEncoding);
  if (rows > fewRows) return ofTerms + manyRowsBytes(keyEncoding, valueEncoding);
  if (softCap == 0 && areScanned(keyEncoding, valueEncoding)) return ofTerms + attendCodesScratch(keyEncoding, valueEncoding, rows);
  return ofTerms + termsBytes(keyEncoding, rows) + blocksAt(keyEncoding, valueEncoding) + <usize>((rows + 3) >> 2) * blockStep(keyEncoding, valueEncoding);
}

/**
 * `angles` [heads, rows, 2 pairs] are those of a rotated mean (mean_terms.ts), or 0. `seen` has the largest score and the sum of exp(score -
 * largest) of other tokens for each row, or is 0: how exact a token has to be depends on its part of the whole attention. The partial is of
 * these tokens only, but its largest score may be that of the others. Decoding does not read values of tokens with less than `least` of the
 * attention so far, for each row; their weights stay in the sum. Returns how many it did not read, of each head and block of rows.
 *
 * `oldest` is the index of the oldest token that query 0 sees within a sliding window (visible.ts). A `softCap` other than 0 caps scaled scores,
 * which are then computed as floats: what rounding may cost a score is known of what it is before.
 *
 * Keys and values are those of the heads from `firstHead` on; all else begins with that head. Threads share heads, query heads of one key head (a
 * smaller group), or, with one query, tokens: `oldest` and `tokens` are then the ends of a part.
 */
export function attend(
  queries: usize,
  keys: usize,
  values: usize,
  partial: usize,
  scratch: usize,
  heads: i32,
  group: i32,
  queryTokens: i32,
  tokens: i32,
  causal: i32,
  firstQuery: i32,
  scale: f32,
  angles: usize,
  seen: usize,
  least: f32,
  oldest: i32,
  softCap: f32,
  firstHead: i32,
): i32 {
  const keyEncoding = changetype<EncodingDescriptor>(keys);
  const valueEncoding = changetype<EncodingDescriptor>(values);
  const dim = dimOf(keyEncoding),
    dimV = dimOf(valueEncoding);
  const rows = group * queryTokens;
  const rowBytes = (<usize>dim) << 2;
  const outBytes = (<usize>(dimV + 2)) << 2;
  const lastVisible = causal ? max(0, min(tokens, firstQuery + queryTokens)) : tokens;
  const isScanned = rows <= fewRows && softCap == 0 && areScanned(keyEncoding, valueEncoding);
  const terms = scratch;
  scratch += termsScratch(keyEncoding);

  let left = 0;
  for (let head = firstHead; head < firstHead + heads; head++) {
    for (let row = 0; row < rows; row++) {
      const out = partial + <usize>row * outBytes;
      memory.fill(out, 0, outBytes);
      store<f32>(out + ((<usize>dimV) << 2), -Infinity);
    }
    if (isScanned) {
      attendCodes(
        queries, keyEncoding, valueEncoding, partial, scratch, head, rows, queryTokens, lastVisible, causal, firstQuery, scale,
        angles, terms, seen, oldest,
      );
    } else if (rows <= fewRows) {
      left += attendFewRows(
        queries, keyEncoding, valueEncoding, partial, scratch, head, rows, queryTokens, lastVisible, causal, firstQuery, scale,
        angles, terms, seen, least, oldest, softCap,
      );
    } else {
      attendManyRows(
        queries, keyEncoding, valueEncoding, partial, scratch, head, rows, queryTokens, lastVisible, causal, firstQuery, scale,
        angles, terms, oldest, softCap,
      );
    }
    queries += <usize>rows * rowBytes;
    partial += <usize>rows * outBytes;
    if (angles) angles += (<usize>(rows * keyEncoding.pairs)) << 3;
    if (seen) seen += <usize>rows << 3;
  }
  return left;
}

/** Bytes of the terms that a rotated mean adds to the scores of a tile. */
function termsBytes(keys: EncodingDescriptor, rows: i32): usize {
  return keys.terms ? (<usize>(rows * tileTokens)) << 2 : 0;
}

// Scratch memory of decoding: a tile of keys, later of values; scales of a group of integer keys; what integer values take; then
// the blocks of rows.

function weightsAt(keys: EncodingDescriptor, values: EncodingDescriptor): usize {
  return max(tileBytes(keys), tileBytes(values)) + (areIntegerKeys(keys) ? groupBytes(keys.dim) : 0);
}

function blocksAt(keys: EncodingDescriptor, values: EncodingDescriptor): usize {
  return weightsAt(keys, values) + (areIntegerValues(values) ? integerValueBytes(values) : 0);
}

/** Bytes of one block of rows. */
function blockStep(keys: EncodingDescriptor, values: EncodingDescriptor): usize {
  const dim = dimOf(keys);
  return blockBytes(dim, dimOf(values)) + (areIntegerKeys(keys) ? integerBlockBytes(dim) : 0);
}

/**
 * Decoding: keys and values alternate, tile by tile. Integer encodings are attended as integers if their groups allow it, others
 * as floats, in place or decoded to scratch memory.
 */
function attendFewRows(
  queries: usize,
  keyEncoding: EncodingDescriptor,
  valueEncoding: EncodingDescriptor,
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
  least: f32,
  oldest: i32,
  softCap: f32,
): i32 {
  const dim = dimOf(keyEncoding),
    dimV = dimOf(valueEncoding);
  const integerKeys = softCap == 0 && areIntegerKeys(keyEncoding),
    integerValues = areIntegerValues(valueEncoding);
  const keysInPlace = isInPlace(keyEncoding),
    valuesInPlace = isInPlace(valueEncoding);
  const scales = scratch + max(tileBytes(keyEncoding), tileBytes(valueEncoding));
  const weights = scratch + weightsAt(keyEncoding, valueEncoding);
  const terms = scratch + blocksAt(keyEncoding, valueEncoding);
  const blocks = terms + termsBytes(keyEncoding, rows);
  const integersAt = blockBytes(dim, dimV);
  const bytes = blockStep(keyEncoding, valueEncoding);

  let from = queries;
  if (integerKeys) {
    from = scratch;
    toUnpacked(queries, from, rows, dim, attendedBits(keyEncoding.layout & 0xff));
  }
  let block = blocks;
  for (let row = 0; row < rows; block += bytes) {
    const some = blockRows(rows - row);
    startBlock(block, from + (<usize>(row * dim) << 2), some, dim, dimV, scale, seen ? seen + (<usize>row << 3) : 0);
    if (integerKeys) startIntegers(block + integersAt);
    row += some;
  }

  // the processor reads ahead what is read in place, if keys and values alternate often: after 8 KB; what is decoded has to stay in
  // the first-level cache until it is used
  const few = (8192 / ((dim + dimV) << 2)) & ~3;
  let tile = tileTokens;
  if (keysInPlace && valuesInPlace) tile = max(4, min(tileTokens, few));
  else if (!integerKeys || !integerValues) tile = tileTokens / 2;
  let group = -1;
  // the newest tokens, which often carry much of the attention, before all others: these then need fewer values
  const whole = integerKeys ? keyEncoding.groupSize : tile;
  const first = (firstSeen(oldest, lastVisible) / whole) * whole;
  const near = least > 0 ? max(first, (max(lastVisible - nearTokens, 0) / whole) * whole) : first;
  const blockCount = (rows + 3) >> 2;
  let token = near,
    end = lastVisible,
    left = 0;
  while (true) {
    if (token == end) {
      if (end == near || near == first) break;
      token = first;
      end = near;
    }
    if (integerKeys && token / keyEncoding.groupSize != group) {
      group = token / keyEncoding.groupSize;
      readGroup(keyEncoding, head, group, scales);
    }
    const count = min(tile, (integerKeys ? min((group + 1) * keyEncoding.groupSize, end) : end) - token);
    const tokensLeft = <usize>(end - token);
    const keys = integerKeys
      ? attendedCodes(keyEncoding, head, token, count, scratch)
      : readTile(keyEncoding, head, token, count, scratch);
    if (angles) meanTerms(keyEncoding, head, token, count, angles, rows, scale, termScratch, terms, tileTokens << 2);
    const bias = biasAt(keyEncoding, head, token);
    let listed = 0;
    block = blocks;
    for (let row = 0; row < rows; block += bytes) {
      const some = blockRows(rows - row);
      if (integerKeys) scoreIntegerBlock(block, block + integersAt, some, keyEncoding, group, keys, count, scales, bias);
      else scoreBlock(block, some, keys, dim, count, keysInPlace ? keys + ((tokensLeft * dim) << 2) : 0);
      if (angles) addTerms(block, some, terms + (<usize>(row * tileTokens) << 2), tileTokens << 2, count);
      if (softCap > 0) capScores(block + scoresAt, (count * <i32>scoreStep(some)) >> 2, softCap);
      if (bias && !integerKeys) addBiasToBlock(block, some, bias, count);
      if (oldest + queryTokens - 1 > token) {
        for (let r = 0; r < some; r++) hideFirstTokens(block, some, r, oldest + ((row + r) % queryTokens) - token, count);
      }
      if (causal) {
        for (let r = 0; r < some; r++) {
          hideTokens(block, some, r, firstQuery + ((row + r) % queryTokens) - token + 1, count);
        }
      }
      softmaxBlock(block, some, count, dim, dimV);
      listed += listTokens(block, some, count, valuesInPlace ? end - token : count, least);
      row += some;
    }
    const unlisted = count * blockCount - listed;
    left += unlisted;
    if (unlisted > 0) touchTokens(valueEncoding, head, token, count);
    if (listed > 0) {
      const values = integerValues
        ? attendedCodes(valueEncoding, head, token, count, scratch)
        : readTile(valueEncoding, head, token, count, scratch);
      block = blocks;
      for (let row = 0; row < rows; block += bytes) {
        const some = blockRows(rows - row);
        if (integerValues) addIntegerBlock(block, some, valueEncoding, head, token, values, count, dim, weights);
        else addBlock(block, some, values, dim, dimV);
        row += some;
      }
    }
    token += count;
  }

  const outBytes = <usize>(dimV + 2) << 2;
  block = blocks;
  for (let row = 0; row < rows; block += bytes) {
    const some = blockRows(rows - row);
    finishBlock(block, some, dim, dimV, partial + <usize>row * outBytes, seen ? seen + (<usize>row << 3) : 0);
    row += some;
  }
  if (integerValues) toChannels(partial, outBytes, rows, dimV, attendedBits(valueEncoding.layout & 0xff), scratch);
  return left;
}

/** Bytes of scratch memory of prefill: tiles of keys and values, transposed keys, the scores of four rows and what a mean adds. */
function manyRowsBytes(keys: EncodingDescriptor, values: EncodingDescriptor): usize {
  return tileBytes(keys) + tileBytes(values) + ((<usize>(tileTokens * (dimOf(keys) + 4))) << 2) + termsBytes(keys, 4);
}

/** Prefill: keys are transposed, and registers hold the scores of four rows by eight keys. */
function attendManyRows(
  queries: usize,
  keyEncoding: EncodingDescriptor,
  valueEncoding: EncodingDescriptor,
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
  oldest: i32,
  softCap: f32,
): void {
  const dim = dimOf(keyEncoding),
    dimV = dimOf(valueEncoding);
  const rowBytes = (<usize>dim) << 2;
  const outBytes = (<usize>(dimV + 2)) << 2;
  const valueScratch = scratch + tileBytes(keyEncoding);
  const transposed = valueScratch + tileBytes(valueEncoding);
  const scores = transposed + ((<usize>(tileTokens * dim)) << 2);
  for (let from = firstSeen(oldest, lastVisible) & -tileTokens; from < lastVisible; from += tileTokens) {
    const count = min(tileTokens, lastVisible - from);
    const keyTile = readTile(keyEncoding, head, from, count, scratch);
    const valueTile = readTile(valueEncoding, head, from, count, valueScratch);
    const bias = biasAt(keyEncoding, head, from);
    transposeTile(keyTile, count, dim, transposed);
    let row = 0;
    for (; row + 4 <= rows; row += 4) {
      // skip four rows that all end before this tile or begin behind it (the rows of a group wrap around: ask each)
      if (!anyVisible(row, queryTokens, causal, firstQuery, oldest, from, count)) continue;
      scoreFourRows(queries + <usize>row * rowBytes, transposed, dim, count, scale, scores);
      if (angles) addMean(keyEncoding, head, from, count, angles, row, 4, scale, termScratch, scores);
      const out = partial + <usize>row * outBytes;
      for (let r = 0; r < 4; r++) {
        const query = (row + r) % queryTokens,
          hidden = oldest + query - from;
        const visible = causal ? min(count, firstQuery + query - from + 1) : count;
        const own = scores + <usize>((r * tileTokens) << 2);
        if (softCap > 0) capScores(own, count, softCap);
        if (bias) addBias(own, bias, count);
        hideFirst(own, hidden, count);
        softmaxRow(own, hidden < visible ? visible : 0, count, out + <usize>r * outBytes, dimV);
      }
      addFourRows(scores, tileTokens << 2, valueTile, out, outBytes, count, dimV);
    }
    for (; row < rows; row++) {
      const query = row % queryTokens,
        hidden = oldest + query - from;
      const visible = causal ? min(count, firstQuery + query - from + 1) : count;
      if (visible <= max(hidden, 0)) continue;
      scoreRow(queries + <usize>row * rowBytes, keyTile, dim, visible, scale, scores);
      if (angles) addMean(keyEncoding, head, from, visible, angles, row, 1, scale, termScratch, scores);
      if (softCap > 0) capScores(scores, visible, softCap);
      if (bias) addBias(scores, bias, visible);
      hideFirst(scores, hidden, visible);
      softmaxRow(scores, visible, visible, partial + <usize>row * outBytes, dimV);
      addRow(scores, valueTile, partial + <usize>row * outBytes, visible, dimV);
    }
  }
}

/** Adds what a rotated mean adds to the scores of some rows, which `manyRowsBytes` has room for behind them. */
function addMean(
  keys: EncodingDescriptor, head: i32, from: i32, count: i32, angles: usize, row: i32, rows: i32, scale: f32, termScratch: usize,
  scores: usize,
): void {
  const own = angles + ((<usize>(row * keys.pairs)) << 3);
  const terms = scores + ((<usize>(tileTokens * 4)) << 2);
  meanTerms(keys, head, from, count, own, rows, scale, termScratch, terms, tileTokens << 2);
  for (const end = scores + ((<usize>(tileTokens * rows)) << 2); scores < end; scores += 16) {
    v128.store(scores, f32x4.add(v128.load(scores), v128.load(scores, tileTokens << 4)));
  }
}

function anyVisible(
  row: i32, queryTokens: i32, causal: i32, firstQuery: i32, oldest: i32, from: i32, count: i32,
): bool {
  for (let r = row; r < row + 4; r++) {
    const query = r % queryTokens;
    if ((!causal || firstQuery + query >= from) && oldest + query < from + count) return true;
  }
  return false;
}
