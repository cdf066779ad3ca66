import {probabilitiesOf4} from './attention_statistics';
import {addBias} from './bias';
import {multiplyAdd} from './multiply_add';
import {scoreFourRows, scoreRow, tileTokens, transposeTile} from './scores';
import {capScores} from './soft_cap';

// The gradient of causal attention by recomputation (FlashAttention, arXiv 2205.14135, section 3.1), a tile of 64 queries
// by 64 keys at a time:
//
//     P = exp(scale * Q K^T - logSum)    dP = dO V^T    dS = scale * P * (dP - rowsum(dO * O))
//     dQ += dS K                         dK += dS^T Q   dV += P^T dO

/** Bytes of scratch memory: a tile of keys and one of values, transposed, and three of queries by keys. */
export function causalGradientScratch(dim: i32, dimV: i32): usize {
  return (<usize>(tileTokens * (dim + dimV + 3 * tileTokens))) << 2;
}

/**
 * queries and dQueries [heads, group, tokens, dim], output and dOut [heads, group, tokens, dimV], logSums
 * [heads, group, tokens], keys and dKeys [heads, tokens, dim], values and dValues [heads, tokens, dimV]. `bias` [heads, tokens] was added to the scores of each token, or is 0. Tokens saw `window`
 * tokens, at most all, themselves included. A `softCap` other than 0 capped scaled scores s, so that dS has the factor 1 - (s / softCap)^2.
 */
export function causalGradient(
  queries: usize,
  keys: usize,
  values: usize,
  output: usize,
  dOut: usize,
  logSums: usize,
  dQueries: usize,
  dKeys: usize,
  dValues: usize,
  scratch: usize,
  heads: i32,
  group: i32,
  tokens: i32,
  dim: i32,
  dimV: i32,
  scale: f32,
  bias: usize,
  window: i32,
  softCap: f32,
): void {
  const rowBytes = <usize>dim << 2,
    rowBytesV = <usize>dimV << 2;
  const headBytes = <usize>tokens * rowBytes,
    headBytesV = <usize>tokens * rowBytesV;
  memory.fill(dQueries, 0, <usize>(heads * group) * headBytes);
  memory.fill(dKeys, 0, <usize>heads * headBytes);
  memory.fill(dValues, 0, <usize>heads * headBytesV);
  const tileSquare = <usize>(tileTokens * tileTokens) << 2;
  const transposedKeys = scratch;
  const transposedValues = transposedKeys + ((<usize>(tileTokens * dim)) << 2);
  const probabilities = transposedValues + ((<usize>(tileTokens * dimV)) << 2);
  const dScores = probabilities + tileSquare;
  const transposed = dScores + tileSquare;

  for (let head = 0; head < heads; head++) {
    for (let from = 0; from < tokens; from += tileTokens) {
      const count = min(tileTokens, tokens - from);
      const keyTile = keys + <usize>from * rowBytes,
        valueTile = values + <usize>from * rowBytesV;
      transposeTile(keyTile, count, dim, transposedKeys);
      transposeTile(valueTile, count, dimV, transposedValues);
      for (let member = 0; member < group; member++) {
        const memberToken = <usize>(member * tokens);
        const lastQuery = min(tokens, from + count + window - 1);
        for (let query = from; query < lastQuery; query += tileTokens) {
          const rows = min(tileTokens, tokens - query);
          const row = memberToken + <usize>query;
          const q = queries + row * rowBytes,
            dO = dOut + row * rowBytesV;
          scoresOf(q, rows, keyTile, transposedKeys, dim, count, scale, probabilities);
          scoresOf(dO, rows, valueTile, transposedValues, dimV, count, 1, dScores);
          for (let r = 0; r < rows; r++) {
            const offset = <usize>(r * tileTokens) << 2;
            const visible = query == from ? min(count, r + 1) : count,
              hidden = min(max(query + r + 1 - window - from, 0), visible);
            const o = output + (row + <usize>r) * rowBytesV;
            const d = dotOf(dO + <usize>r * rowBytesV, o, dimV);
            const logSum = load<f32>(logSums + ((row + <usize>r) << 2));
            const scores = probabilities + offset;
            if (softCap > 0) {
              capScores(scores, visible, softCap);
              timesSlopes(dScores + offset, scores, visible, d, softCap);
            }
            if (bias) addBias(scores, bias + (<usize>from << 2), visible);
            softmaxGradient(scores, dScores + offset, hidden, visible, logSum, softCap > 0 ? 0 : d, scale);
          }
          multiplyAdd(dScores, tileTokens << 2, keyTile, dQueries + row * rowBytes, rowBytes, rows, count, dim);
          transposeTile(dScores, rows, tileTokens, transposed);
          multiplyAdd(transposed, tileTokens << 2, q, dKeys + <usize>from * rowBytes, rowBytes, count, rows, dim);
          transposeTile(probabilities, rows, tileTokens, transposed);
          multiplyAdd(transposed, tileTokens << 2, dO, dValues + <usize>from * rowBytesV, rowBytesV, count, rows, dimV);
        }
      }
    }
    queries += <usize>group * headBytes;
    dQueries += <usize>group * headBytes;
    output += <usize>group * headBytesV;
    dOut += <usize>group * headBytesV;
    logSums += <usize>(group * tokens) << 2;
    if (bias) bias += <usize>tokens << 2;
    keys += headBytes;
    dKeys += headBytes;
    values += headBytesV;
    dValues += headBytesV;
  }
}

/** out [rows, tileTokens] = scale * x [rows, dim] . tile^T; columns from `count` on hold anything. */
function scoresOf(
  x: usize, rows: i32, tile: usize, transposed: usize, dim: i32, count: i32, scale: f32, out: usize,
): void {
  const rowBytes = <usize>dim << 2,
    columnBytes = <usize>tileTokens << 2;
  let row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * rowBytes, out += 4 * columnBytes) {
    scoreFourRows(x, transposed, dim, count, scale, out);
  }
  for (; row < rows; row++, x += rowBytes, out += columnBytes) scoreRow(x, tile, dim, count, scale, out);
}

function dotOf(a: usize, b: usize, dim: i32): f32 {
  let sum: f32 = 0;
  for (let i: usize = 0; i < <usize>dim << 2; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** dP - d becomes what has the slope of the cap as its factor: 1 - (s / softCap)^2, of capped scores s. */
function timesSlopes(dScores: usize, scores: usize, count: i32, d: f32, softCap: f32): void {
  const ds = f32x4.splat(d),
    inverse = f32x4.splat(1 / softCap),
    one = f32x4.splat(1);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const t = f32x4.mul(v128.load(scores + i), inverse);
    v128.store(dScores + i, f32x4.mul(f32x4.sub(v128.load(dScores + i), ds), f32x4.sub(one, f32x4.mul(t, t))));
  }
}

/** A row of scores becomes one of probabilities, and dP becomes dS; zeros before `hidden`, and from `visible` to the tile's end. */
// @ts-ignore: decorator
@inline
function softmaxGradient(
  scores: usize, dScores: usize, hidden: i32, visible: i32, logSum: f32, d: f32, scale: f32,
): void {
  const logSums = f32x4.splat(logSum),
    ds = f32x4.splat(d),
    scales = f32x4.splat(scale);
  for (let i: usize = 0; i < <usize>visible << 2; i += 16) {
    const p = probabilitiesOf4(v128.load(scores + i), logSums);
    v128.store(scores + i, p);
    v128.store(dScores + i, f32x4.mul(f32x4.mul(p, scales), f32x4.sub(v128.load(dScores + i), ds)));
  }
  const bytes = <usize>(tileTokens - visible) << 2;
  memory.fill(scores + (<usize>visible << 2), 0, bytes);
  memory.fill(dScores + (<usize>visible << 2), 0, bytes);
  memory.fill(scores, 0, <usize>hidden << 2);
  memory.fill(dScores, 0, <usize>hidden << 2);
}
