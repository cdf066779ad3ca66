import {addBias, biasAt} from './bias';
import {EncodingDescriptor} from './encoding_descriptor';
import {expOf4} from './math';
import {rowsWorthTransposing, scoreFourRows, scoreRows, tileTokens, transposeTile} from './scores';
import {capScores} from './soft_cap';
import {dimOf, readTile, tileBytes} from './tiles';
import {firstSeen, hideFirst} from './visible';

// The attention that each token received, in a second pass over a segment: since each query's max + ln(sum) over all segments
// is known, p = exp(score - that) is the final probability, tile by tile.

const mass: i32 = 0;
const uses: i32 = 1;
// 2: last use

/** Bytes of scratch memory: a tile of keys, the same transposed, four rows of scores, and as many of the largest in a group. */
export function attentionStatisticsScratch(keys: usize): usize {
  const encoding = changetype<EncodingDescriptor>(keys);
  return tileBytes(encoding) + ((<usize>(tileTokens * (dimOf(encoding) + 8))) << 2);
}

/**
 * out [heads, tokens]; logSums [heads, group, queryTokens] belongs to the queries [heads, group, queryTokens, dim].
 * statistic 0: the sum of p over group and queries; 1: how many queries have p >= threshold in any head of the group;
 * 2: the last such query, or -1. `oldest`, `softCap` and `firstHead`: see `attend`.
 */
export function attentionStatistics(
  queries: usize,
  keys: usize,
  logSums: usize,
  out: usize,
  scratch: usize,
  heads: i32,
  group: i32,
  queryTokens: i32,
  tokens: i32,
  causal: i32,
  firstQuery: i32,
  scale: f32,
  statistic: i32,
  threshold: f32,
  oldest: i32,
  softCap: f32,
  firstHead: i32,
): void {
  const encoding = changetype<EncodingDescriptor>(keys);
  const dim = dimOf(encoding);
  const rows = group * queryTokens;
  const rowBytes = (<usize>dim) << 2;
  const columnBytes = (<usize>tileTokens) << 2;
  const transposed = scratch + tileBytes(encoding);
  const scores = transposed + ((<usize>(tileTokens * dim)) << 2);
  const best = scores + 4 * columnBytes;
  const lastVisible = causal ? min(tokens, firstQuery + queryTokens) : tokens;

  for (let head = firstHead; head < firstHead + heads; head++) {
    for (let token = 0; token < tokens; token++) {
      store<f32>(out + ((<usize>token) << 2), statistic == mass || statistic == uses ? 0 : -1);
    }
    for (let from = firstSeen(oldest, lastVisible) & -tileTokens; from < lastVisible; from += tileTokens) {
      const count = min(tileTokens, lastVisible - from);
      const tile = readTile(encoding, head, from, count, scratch);
      const bias = biasAt(encoding, head, from);
      const to = out + ((<usize>from) << 2);
      // queries that end before this tile see nothing of it
      let query = causal ? max(0, from - firstQuery) : 0;
      const lastQuery = min(queryTokens, from + count - oldest); // nor do queries that begin behind it
      if (rows >= rowsWorthTransposing && query + 4 <= lastQuery) {
        transposeTile(tile, count, dim, transposed);
        for (; query + 4 <= lastQuery; query += 4) {
          memory.fill(best, 0, 4 * columnBytes);
          for (let member = 0; member < group; member++) {
            const row = <usize>(member * queryTokens + query);
            scoreFourRows(queries + row * rowBytes, transposed, dim, count, scale, scores);
            for (let r: usize = 0; r < 4; r++) {
              const visible = visibleTokens(causal, firstQuery, query + <i32>r, from, count);
              const logSum = load<f32>(logSums + ((row + r) << 2)),
                own = scores + r * columnBytes;
              finishScores(own, visible, softCap, bias, oldest + query + <i32>r - from);
              takeRow(own, visible, logSum, statistic, to, best + r * columnBytes);
            }
          }
          if (statistic != mass) {
            for (let r = 0; r < 4; r++) {
              countUses(best + <usize>r * columnBytes, count, query + r, statistic, threshold, to);
            }
          }
        }
      }
      for (; query < lastQuery; query++) {
        const visible = visibleTokens(causal, firstQuery, query, from, count);
        memory.fill(best, 0, columnBytes);
        // with a single query, the heads of a group are adjacent: three at a time read each key
        const together = queryTokens == 1 ? 3 : 1;
        for (let member = 0; member < group; member += together) {
          const members = min(together, group - member);
          const row = <usize>(member * queryTokens + query);
          scoreRows(queries + row * rowBytes, members, tile, dim, visible, scale, scores);
          for (let i: usize = 0; i < <usize>members; i++) {
            const logSum = load<f32>(logSums + ((row + i) << 2)),
              own = scores + i * columnBytes;
            finishScores(own, visible, softCap, bias, oldest + query - from);
            takeRow(own, visible, logSum, statistic, to, best);
          }
        }
        if (statistic != mass) countUses(best, count, query, statistic, threshold, to);
      }
    }
    queries += <usize>rows * rowBytes;
    logSums += (<usize>rows) << 2;
    out += (<usize>tokens) << 2;
  }
}

/**
 * e^(score - logSum), at most 1: a large score is rounded differently from the sum that it is part of, which then may be so much
 * smaller that e^x would overflow.
 */
// @ts-ignore: decorator
@inline
export function probabilitiesOf4(scores: v128, logSums: v128): v128 {
  return expOf4(f32x4.pmin(f32x4.sub(scores, logSums), f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function visibleTokens(causal: i32, firstQuery: i32, query: i32, from: i32, count: i32): i32 {
  return causal ? min(count, firstQuery + query - from + 1) : count;
}

/** Caps scaled scores of a row, adds biases, and hides the first ones. */
// @ts-ignore: decorator
@inline
function finishScores(scores: usize, visible: i32, softCap: f32, bias: usize, hidden: i32): void {
  if (softCap > 0) capScores(scores, visible, softCap);
  if (bias) addBias(scores, bias, visible);
  hideFirst(scores, hidden, visible);
}

/** Adds a row's probabilities to the masses, or keeps the largest of the group's in `best`. */
function takeRow(scores: usize, visible: i32, logSum: f32, statistic: i32, masses: usize, best: usize): void {
  if (visible <= 0 || logSum == -Infinity) return; // a query that saw no token contributes nothing
  const shift = f32x4.splat(logSum);
  for (let j = 0; j < visible; j += 4) {
    const at = (<usize>j) << 2;
    const p = probabilitiesOf4(v128.load(scores + at), shift);
    if (statistic != mass) {
      v128.store(best + at, f32x4.max(v128.load(best + at), p));
    } else if (j + 4 <= visible) {
      v128.store(masses + at, f32x4.add(v128.load(masses + at), p));
    } else {
      v128.store(scores + at, p);
      for (let i = j; i < visible; i++) {
        const one = (<usize>i) << 2;
        store<f32>(masses + one, load<f32>(masses + one) + load<f32>(scores + one));
      }
    }
  }
  // lanes after the last visible token hold old scores
  for (let j = visible; j < ((visible + 3) & ~3); j++) store<f32>(best + ((<usize>j) << 2), 0);
}

function countUses(
  best: usize,
  count: i32,
  query: i32,
  statistic: i32,
  threshold: f32,
  out: usize,
): void {
  for (let j: usize = 0; j < (<usize>count) << 2; j += 4) {
    if (load<f32>(best + j) < threshold) continue;
    store<f32>(out + j, statistic == uses ? load<f32>(out + j) + 1 : <f32>query);
  }
}
