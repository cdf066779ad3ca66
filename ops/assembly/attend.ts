import {expOf, expOf4, maxOfLanes, sumOfLanes, sumsOfLanes} from './math';
import {FormDescriptor, readTile} from './tiles';

// Attention over one segment, tile by tile with an online softmax (FlashAttention, arXiv 2205.14135). The query heads of
// one key head lie side by side in memory, so their queries are one matrix of `rows` rows, and a tile is read once for
// all of them. A row of the partial is [output of dimV floats, max, sum]; it is also the running state.

const tileTokens: i32 = 64;
/** From so many rows on, transposing the key tile (lanes = keys) costs less than it saves. */
const rowsWorthTransposing: i32 = 8;

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
): void {
  const keyForm = changetype<FormDescriptor>(keys);
  const valueForm = changetype<FormDescriptor>(values);
  const dim = keyForm.dim,
    dimV = valueForm.dim;
  const rows = group * queryTokens;
  const rowBytes = (<usize>dim) << 2;
  const outBytes = (<usize>(dimV + 2)) << 2;
  const keyScratch = scratch;
  const valueScratch = keyScratch + ((<usize>(tileTokens * dim)) << 2);
  const transposed = valueScratch + ((<usize>(tileTokens * dimV)) << 2);
  const scores = transposed + ((<usize>(tileTokens * dim)) << 2);
  const lastVisible = causal ? min(tokens, firstQuery + queryTokens) : tokens;

  for (
    let head = 0;
    head < heads;
    head++, queries += <usize>rows * rowBytes, partial += <usize>rows * outBytes
  ) {
    for (let row = 0; row < rows; row++) {
      const out = partial + <usize>row * outBytes;
      memory.fill(out, 0, outBytes);
      store<f32>(out + ((<usize>dimV) << 2), -Infinity);
    }
    for (let from = 0; from < lastVisible; from += tileTokens) {
      const count = min(tileTokens, lastVisible - from);
      const keyTile = readTile(keyForm, head, from, count, keyScratch);
      const valueTile = readTile(valueForm, head, from, count, valueScratch);
      let row = 0;
      if (rows >= rowsWorthTransposing) {
        transposeTile(keyTile, count, dim, transposed);
        for (; row + 4 <= rows; row += 4) {
          // skip four rows that all end before this tile (the rows of a group wrap around: ask each)
          if (causal && !anyVisible(row, queryTokens, firstQuery, from)) continue;
          scoreFourRows(queries + <usize>row * rowBytes, transposed, dim, count, scale, scores);
          for (let r = 0; r < 4; r++) {
            const visible = causal ? min(count, firstQuery + ((row + r) % queryTokens) - from + 1) : count;
            softmaxRow(
              scores + <usize>((r * tileTokens) << 2),
              visible,
              count,
              partial + <usize>(row + r) * outBytes,
              dimV,
            );
          }
          addFourRows(scores, valueTile, count, partial + <usize>row * outBytes, dimV);
        }
      }
      for (; row < rows; row++) {
        const visible = causal ? min(count, firstQuery + (row % queryTokens) - from + 1) : count;
        if (visible <= 0) continue;
        scoreRow(queries + <usize>row * rowBytes, keyTile, dim, visible, scale, scores);
        softmaxRow(scores, visible, visible, partial + <usize>row * outBytes, dimV);
        addRow(scores, valueTile, visible, partial + <usize>row * outBytes, dimV);
      }
    }
  }
}

function anyVisible(row: i32, queryTokens: i32, firstQuery: i32, from: i32): bool {
  for (let r = row; r < row + 4; r++) if (firstQuery + (r % queryTokens) >= from) return true;
  return false;
}

/** tile [count, dim] -> out [dim, tileTokens], zeros beyond count. */
function transposeTile(tile: usize, count: i32, dim: i32, out: usize): void {
  const rowBytes = (<usize>dim) << 2;
  const columnBytes = (<usize>tileTokens) << 2;
  let token = 0;
  for (; token + 4 <= count; token += 4) {
    const r0 = tile + <usize>token * rowBytes;
    const r1 = r0 + rowBytes,
      r2 = r1 + rowBytes,
      r3 = r2 + rowBytes;
    const column = out + ((<usize>token) << 2);
    let d = 0;
    for (; d + 4 <= dim; d += 4) {
      const offset = (<usize>d) << 2;
      const a = v128.load(r0 + offset),
        b = v128.load(r1 + offset),
        c = v128.load(r2 + offset),
        e = v128.load(r3 + offset);
      const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5),
        ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
      const ce0 = v128.shuffle<f32>(c, e, 0, 4, 1, 5),
        ce1 = v128.shuffle<f32>(c, e, 2, 6, 3, 7);
      const to = column + <usize>d * columnBytes;
      v128.store(to, v128.shuffle<f32>(ab0, ce0, 0, 1, 4, 5));
      v128.store(to + columnBytes, v128.shuffle<f32>(ab0, ce0, 2, 3, 6, 7));
      v128.store(to + 2 * columnBytes, v128.shuffle<f32>(ab1, ce1, 0, 1, 4, 5));
      v128.store(to + 3 * columnBytes, v128.shuffle<f32>(ab1, ce1, 2, 3, 6, 7));
    }
    for (; d < dim; d++) {
      const offset = (<usize>d) << 2;
      const to = column + <usize>d * columnBytes;
      store<f32>(to, load<f32>(r0 + offset));
      store<f32>(to, load<f32>(r1 + offset), 4);
      store<f32>(to, load<f32>(r2 + offset), 8);
      store<f32>(to, load<f32>(r3 + offset), 12);
    }
  }
  const whole = (count + 7) & ~7; // scoreFourRows reads eight keys at a time
  for (; token < whole; token++) {
    for (let d = 0; d < dim; d++) {
      const value: f32 = token < count ? load<f32>(tile + <usize>token * rowBytes + ((<usize>d) << 2)) : 0;
      store<f32>(out + <usize>d * columnBytes + ((<usize>token) << 2), value);
    }
  }
}

/** scores[r][j] = scale * q_r . k_j for four rows, eight keys at a time; out [4, tileTokens]. */
function scoreFourRows(
  queries: usize,
  transposed: usize,
  dim: i32,
  count: i32,
  scale: f32,
  out: usize,
): void {
  const rowBytes = (<usize>dim) << 2;
  const columnBytes = (<usize>tileTokens) << 2;
  const scales = f32x4.splat(scale);
  for (let token = 0; token < count; token += 8) {
    let a0 = f32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let column = transposed + ((<usize>token) << 2);
    let q = queries;
    for (let d = 0; d < dim; d++, column += columnBytes, q += 4) {
      const k0 = v128.load(column),
        k1 = v128.load(column, 16);
      const qa = v128.load32_splat(q);
      a0 = f32x4.add(a0, f32x4.mul(qa, k0));
      a1 = f32x4.add(a1, f32x4.mul(qa, k1));
      const qb = v128.load32_splat(q + rowBytes);
      b0 = f32x4.add(b0, f32x4.mul(qb, k0));
      b1 = f32x4.add(b1, f32x4.mul(qb, k1));
      const qc = v128.load32_splat(q + 2 * rowBytes);
      c0 = f32x4.add(c0, f32x4.mul(qc, k0));
      c1 = f32x4.add(c1, f32x4.mul(qc, k1));
      const qd = v128.load32_splat(q + 3 * rowBytes);
      d0 = f32x4.add(d0, f32x4.mul(qd, k0));
      d1 = f32x4.add(d1, f32x4.mul(qd, k1));
    }
    const to = out + ((<usize>token) << 2);
    v128.store(to, f32x4.mul(a0, scales));
    v128.store(to, f32x4.mul(a1, scales), 16);
    v128.store(to + columnBytes, f32x4.mul(b0, scales));
    v128.store(to + columnBytes, f32x4.mul(b1, scales), 16);
    v128.store(to + 2 * columnBytes, f32x4.mul(c0, scales));
    v128.store(to + 2 * columnBytes, f32x4.mul(c1, scales), 16);
    v128.store(to + 3 * columnBytes, f32x4.mul(d0, scales));
    v128.store(to + 3 * columnBytes, f32x4.mul(d1, scales), 16);
  }
}

/** scores[j] = scale * q . k_j for one row, four keys at a time. */
function scoreRow(query: usize, tile: usize, dim: i32, count: i32, scale: f32, out: usize): void {
  const rowBytes = (<usize>dim) << 2;
  const vectorBytes = rowBytes & ~15;
  let token = 0;
  for (; token + 4 <= count; token += 4) {
    const k0 = tile + <usize>token * rowBytes;
    const k1 = k0 + rowBytes,
      k2 = k1 + rowBytes,
      k3 = k2 + rowBytes;
    let a = f32x4.splat(0),
      b = a,
      c = a,
      d = a;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const q = v128.load(query + i);
      a = f32x4.add(a, f32x4.mul(q, v128.load(k0 + i)));
      b = f32x4.add(b, f32x4.mul(q, v128.load(k1 + i)));
      c = f32x4.add(c, f32x4.mul(q, v128.load(k2 + i)));
      d = f32x4.add(d, f32x4.mul(q, v128.load(k3 + i)));
    }
    let sums = sumsOfLanes(a, b, c, d);
    for (let i = vectorBytes; i < rowBytes; i += 4) {
      const q = v128.load32_splat(query + i);
      sums = f32x4.add(
        sums,
        f32x4.mul(q, f32x4(load<f32>(k0 + i), load<f32>(k1 + i), load<f32>(k2 + i), load<f32>(k3 + i))),
      );
    }
    v128.store(out + ((<usize>token) << 2), f32x4.mul(sums, f32x4.splat(scale)));
  }
  for (; token < count; token++) {
    const key = tile + <usize>token * rowBytes;
    let sums = f32x4.splat(0);
    for (let i: usize = 0; i < vectorBytes; i += 16)
      sums = f32x4.add(sums, f32x4.mul(v128.load(query + i), v128.load(key + i)));
    let sum = sumOfLanes(sums);
    for (let i = vectorBytes; i < rowBytes; i += 4) sum += load<f32>(query + i) * load<f32>(key + i);
    store<f32>(out + ((<usize>token) << 2), sum * scale);
  }
}

/**
 * Turns the first `visible` scores of a row into weights exp(s - m') and the rest up to `count` into zeros; rescales the
 * row's state from its old maximum to m'. Scores behind `count`, up to a multiple of four, may be overwritten.
 */
function softmaxRow(scores: usize, visible: i32, count: i32, state: usize, dimV: i32): void {
  const tail = state + ((<usize>dimV) << 2);
  if (visible <= 0) {
    memory.fill(scores, 0, (<usize>count) << 2);
    return;
  }
  const whole = (visible + 3) & ~3;
  for (let j = visible; j < whole; j++) store<f32>(scores + ((<usize>j) << 2), -Infinity);
  let maxima = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) maxima = f32x4.max(maxima, v128.load(scores + ((<usize>j) << 2)));
  const oldMax = load<f32>(tail);
  const newMax = max(oldMax, maxOfLanes(maxima));
  const shift = f32x4.splat(newMax);
  let sums = f32x4.splat(0);
  for (let j = 0; j < whole; j += 4) {
    const weights = expOf4(f32x4.sub(v128.load(scores + ((<usize>j) << 2)), shift));
    sums = f32x4.add(sums, weights);
    v128.store(scores + ((<usize>j) << 2), weights);
  }
  if (count > whole) memory.fill(scores + ((<usize>whole) << 2), 0, (<usize>(count - whole)) << 2);
  let sum = load<f32>(tail, 4);
  if (newMax != oldMax) {
    const factor = expOf(oldMax - newMax);
    sum *= factor;
    const factors = f32x4.splat(factor);
    let i: usize = 0;
    const bytes = (<usize>dimV) << 2;
    for (; i + 16 <= bytes; i += 16) v128.store(state + i, f32x4.mul(v128.load(state + i), factors));
    for (; i < bytes; i += 4) store<f32>(state + i, load<f32>(state + i) * factor);
    store<f32>(tail, newMax);
  }
  store<f32>(tail, sum + sumOfLanes(sums), 4);
}

/** state_r += sum_j weights[r][j] v_j for four rows, eight channels at a time. */
function addFourRows(weights: usize, tile: usize, count: i32, state: usize, dimV: i32): void {
  const valueBytes = (<usize>dimV) << 2;
  const stateBytes = valueBytes + 8;
  const columnBytes = (<usize>tileTokens) << 2;
  let i: usize = 0;
  for (; i + 32 <= valueBytes; i += 32) {
    const to = state + i;
    let a0 = v128.load(to),
      a1 = v128.load(to, 16);
    let b0 = v128.load(to + stateBytes),
      b1 = v128.load(to + stateBytes, 16);
    let c0 = v128.load(to + 2 * stateBytes),
      c1 = v128.load(to + 2 * stateBytes, 16);
    let d0 = v128.load(to + 3 * stateBytes),
      d1 = v128.load(to + 3 * stateBytes, 16);
    let value = tile + i;
    let w = weights;
    for (let j = 0; j < count; j++, value += valueBytes, w += 4) {
      const v0 = v128.load(value),
        v1 = v128.load(value, 16);
      const wa = v128.load32_splat(w);
      a0 = f32x4.add(a0, f32x4.mul(wa, v0));
      a1 = f32x4.add(a1, f32x4.mul(wa, v1));
      const wb = v128.load32_splat(w + columnBytes);
      b0 = f32x4.add(b0, f32x4.mul(wb, v0));
      b1 = f32x4.add(b1, f32x4.mul(wb, v1));
      const wc = v128.load32_splat(w + 2 * columnBytes);
      c0 = f32x4.add(c0, f32x4.mul(wc, v0));
      c1 = f32x4.add(c1, f32x4.mul(wc, v1));
      const wd = v128.load32_splat(w + 3 * columnBytes);
      d0 = f32x4.add(d0, f32x4.mul(wd, v0));
      d1 = f32x4.add(d1, f32x4.mul(wd, v1));
    }
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to + stateBytes, b0);
    v128.store(to + stateBytes, b1, 16);
    v128.store(to + 2 * stateBytes, c0);
    v128.store(to + 2 * stateBytes, c1, 16);
    v128.store(to + 3 * stateBytes, d0);
    v128.store(to + 3 * stateBytes, d1, 16);
  }
  for (let r: usize = 0; r < 4; r++) {
    addChannels(weights + r * columnBytes, tile, count, state + r * stateBytes, valueBytes, i);
  }
}

/** state += sum_j weights[j] v_j for one row, sixteen channels at a time. */
function addRow(weights: usize, tile: usize, count: i32, state: usize, dimV: i32): void {
  const valueBytes = (<usize>dimV) << 2;
  let i: usize = 0;
  for (; i + 64 <= valueBytes; i += 64) {
    const to = state + i;
    let a = v128.load(to),
      b = v128.load(to, 16),
      c = v128.load(to, 32),
      d = v128.load(to, 48);
    let value = tile + i;
    for (let j = 0; j < count; j++, value += valueBytes) {
      const weight = v128.load32_splat(weights + ((<usize>j) << 2));
      a = f32x4.add(a, f32x4.mul(weight, v128.load(value)));
      b = f32x4.add(b, f32x4.mul(weight, v128.load(value, 16)));
      c = f32x4.add(c, f32x4.mul(weight, v128.load(value, 32)));
      d = f32x4.add(d, f32x4.mul(weight, v128.load(value, 48)));
    }
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
  }
  addChannels(weights, tile, count, state, valueBytes, i);
}

/** The channels from byte `i` on, four at a time, then one at a time. */
function addChannels(
  weights: usize,
  tile: usize,
  count: i32,
  state: usize,
  valueBytes: usize,
  i: usize,
): void {
  for (; i + 16 <= valueBytes; i += 16) {
    let sums = v128.load(state + i);
    for (let j = 0; j < count; j++) {
      const weight = v128.load32_splat(weights + ((<usize>j) << 2));
      sums = f32x4.add(sums, f32x4.mul(weight, v128.load(tile + <usize>j * valueBytes + i)));
    }
    v128.store(state + i, sums);
  }
  for (; i < valueBytes; i += 4) {
    let sum = load<f32>(state + i);
    for (let j = 0; j < count; j++)
      sum += load<f32>(weights + ((<usize>j) << 2)) * load<f32>(tile + <usize>j * valueBytes + i);
    store<f32>(state + i, sum);
  }
}
