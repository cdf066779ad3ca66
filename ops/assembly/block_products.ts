import {countOf, Four, One, Three, Two} from './counts';
import {madd, sumsOfLanes} from './math';
import {listAt, listedAt, outputsAt, queriesAt, scoresAt, scoreStep, smallestAt} from './row_blocks';

// The products of decoding: a block of rows (row_blocks.ts) by a tile of dense keys, then of values. If memory bandwidth bounds them,
// the order of their reads decides how much of it they use: processors prefetch what is read in sequence. So both go through
// their tile token by token, two at a time. Two rows of up to seven lines of memory are sequence enough; of longer rows, a number
// of each line of the next two is loaded first, in sequence, only to prefetch them.
//
// V8 moves all loads of a loop's body to its beginning, and x64 has 15 vector registers besides the scratch one: with four rows, two
// keys need eight sums and six loads, two values eight weights and six loads. More do not fit.

/** Loads a number of each line of memory, to have it fetched. */
// @ts-ignore: decorator
@inline
function touchLines(from: usize, to: usize): void {
  for (; from + 256 <= to; from += 256) {
    load<u32>(from);
    load<u32>(from, 64);
    load<u32>(from, 128);
    load<u32>(from, 192);
  }
}

/** Scores of a block against `count` keys; `end` is the end of the last key that may be read ahead. */
export function scoreBlock(block: usize, rows: i32, keys: usize, dim: i32, count: i32, end: usize): void {
  if (rows == 1) scoreRows<One>(block, keys, dim, count, end);
  else if (rows == 2) scoreRows<Two>(block, keys, dim, count, end);
  else if (rows == 3) scoreRows<Three>(block, keys, dim, count, end);
  else scoreRows<Four>(block, keys, dim, count, end);
}

// @ts-ignore: decorator
@inline
function scoreRows<Rows>(block: usize, keys: usize, dim: i32, count: i32, end: usize): void {
  const rows = countOf<Rows>();
  const rowBytes = <usize>dim << 2,
    vectorBytes = rowBytes & ~15;
  const step = scoreStep(rows);
  let out = block + scoresAt;
  for (let token = 0; token < count; token += 2, out += 2 * step) {
    let k0 = keys + <usize>token * rowBytes;
    let k1 = token + 1 < count ? k0 + rowBytes : k0; // of an odd count the last is taken twice
    if (rowBytes >= 512) touchLines(k0 + 2 * rowBytes, min(k0 + 4 * rowBytes, end));
    let a0 = f32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let q = block + queriesAt;
    for (const last = k0 + vectorBytes; k0 < last; k0 += 16, k1 += 16, q += 16 * rows) {
      const x = v128.load(k0),
        y = v128.load(k1);
      const a = v128.load(q);
      a0 = madd(a, x, a0);
      a1 = madd(a, y, a1);
      if (rows > 1) {
        const b = v128.load(q, 16);
        b0 = madd(b, x, b0);
        b1 = madd(b, y, b1);
      }
      if (rows > 2) {
        const c = v128.load(q, 32);
        c0 = madd(c, x, c0);
        c1 = madd(c, y, c1);
      }
      if (rows > 3) {
        const d = v128.load(q, 48);
        d0 = madd(d, x, d0);
        d1 = madd(d, y, d1);
      }
    }
    if (rows == 1) {
      let sums = sumsOfLanes(a0, a1, a0, a1);
      for (let i = vectorBytes; i < rowBytes; i += 4, k0 += 4, k1 += 4, q += 16) {
        sums = madd(v128.load(q), v128.load32_lane(k1, v128.load32_splat(k0), 1), sums);
      }
      v128.store64_lane(out, sums, 0);
    } else {
      let s0 = sumsOfLanes(a0, b0, rows > 2 ? c0 : a0, rows > 3 ? d0 : b0),
        s1 = sumsOfLanes(a1, b1, rows > 2 ? c1 : a1, rows > 3 ? d1 : b1);
      for (let i = vectorBytes; i < rowBytes; i += 4, k0 += 4, k1 += 4, q += 16) {
        const ofRows = v128.load(q);
        s0 = madd(ofRows, v128.load32_splat(k0), s0);
        s1 = madd(ofRows, v128.load32_splat(k1), s1);
      }
      v128.store(out, s0);
      v128.store(out, s1, 16);
    }
  }
}

/** Adds the values that `listTokens` listed, of those from `values` on, times their weights to a block's outputs. */
export function addBlock(block: usize, rows: i32, values: usize, dim: i32, dimV: i32): void {
  const count = load<i32>(block + listedAt);
  const outputs = block + outputsAt(dim);
  if (count == 0) return;
  // the last one's neighbour, if their number is odd: itself, with weight 0; without a branch, which would be unpredictable
  const isOdd = count & 1;
  const last = block + listAt + <usize>count;
  store<u8>(last, load<u8>(isOdd ? last - 1 : last));
  const beyond = isOdd ? block + scoresAt + <usize>count * scoreStep(rows) : block + smallestAt; // which is not needed any more
  if (rows == 1) store<f32>(beyond, 0);
  else v128.store(beyond, f32x4.splat(0));
  if (rows == 1) addRows<One>(block, values, dimV, count, outputs);
  else if (rows == 2) addRows<Two>(block, values, dimV, count, outputs);
  else if (rows == 3) addRows<Three>(block, values, dimV, count, outputs);
  else addRows<Four>(block, values, dimV, count, outputs);
}

// @ts-ignore: decorator
@inline
function addRows<Rows>(block: usize, values: usize, dimV: i32, count: i32, outputs: usize): void {
  const rows = countOf<Rows>();
  const rowBytes = <usize>dimV << 2,
    vectorBytes = rowBytes & ~15;
  const step = scoreStep(rows);
  const end = block + listAt + <usize>count;
  let w = block + scoresAt;
  for (let token = block + listAt; token < end; token += 2, w += 2 * step) {
    let v0 = values + <usize>load<u8>(token) * rowBytes;
    let v1 = values + <usize>load<u8>(token, 1) * rowBytes;
    if (rowBytes >= 512) {
      const next = values + <usize>load<u8>(token, 2) * rowBytes,
        afterNext = values + <usize>load<u8>(token, 3) * rowBytes;
      touchLines(next, next + rowBytes);
      touchLines(afterNext, afterNext + rowBytes);
    }
    const a0 = v128.load32_splat(w),
      a1 = v128.load32_splat(w + step);
    const b0 = rows > 1 ? v128.load32_splat(w, 4) : a0,
      b1 = rows > 1 ? v128.load32_splat(w + step, 4) : a0;
    const c0 = rows > 2 ? v128.load32_splat(w, 8) : a0,
      c1 = rows > 2 ? v128.load32_splat(w + step, 8) : a0;
    const d0 = rows > 3 ? v128.load32_splat(w, 12) : a0,
      d1 = rows > 3 ? v128.load32_splat(w + step, 12) : a0;
    let out = outputs;
    for (const last = v0 + vectorBytes; v0 < last; v0 += 16, v1 += 16, out += 16 * rows) {
      const x = v128.load(v0),
        y = v128.load(v1);
      v128.store(out, f32x4.add(v128.load(out), madd(a1, y, f32x4.mul(a0, x))));
      if (rows > 1) v128.store(out, f32x4.add(v128.load(out, 16), madd(b1, y, f32x4.mul(b0, x))), 16);
      if (rows > 2) v128.store(out, f32x4.add(v128.load(out, 32), madd(c1, y, f32x4.mul(c0, x))), 32);
      if (rows > 3) v128.store(out, f32x4.add(v128.load(out, 48), madd(d1, y, f32x4.mul(d0, x))), 48);
    }
    if (vectorBytes == rowBytes) continue;
    const w0 = rows == 1 ? a0 : v128.load(w),
      w1 = rows == 1 ? a1 : v128.load(w + step);
    for (let i = vectorBytes; i < rowBytes; i += 4, v0 += 4, v1 += 4, out += 16) {
      const sum = madd(w1, v128.load32_splat(v1), f32x4.mul(w0, v128.load32_splat(v0)));
      v128.store(out, f32x4.add(v128.load(out), sum));
    }
  }
}
