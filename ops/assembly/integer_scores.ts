import {countOf, Eight, Four, One, Three, Two} from './counts';
import {integerSumsOfLanes, madd} from './math';
import {codesOf, dot} from './unpacked';

// The products of integer keys (integer_keys.ts): a block's rounded queries against a tile's codes, token by token.

/** scores = units * (queries . codes) + offsets, for each of some tokens; offsets follow units. */
export function scoreProducts(
  codes: usize, codeBytes: usize, count: i32, bits: i32, queries: usize, rows: i32, units: usize, scores: usize,
): void {
  ofBits(codes, codeBytes, 0, count, bits, queries, rows, units, scores);
}

/** scores += units * (queries . codes) + offsets, for each of the tokens of a list, a byte each. */
export function addRests(
  codes: usize, codeBytes: usize, list: usize, count: i32, bits: i32, queries: usize, rows: i32, units: usize, scores: usize,
): void {
  ofBits(codes, codeBytes, list, count, bits, queries, rows, units, scores);
}

function ofBits(
  codes: usize, codeBytes: usize, list: usize, count: i32, bits: i32, queries: usize, rows: i32, units: usize, scores: usize,
): void {
  if (bits == 8) ofRows<Eight>(codes, codeBytes, list, count, queries, rows, units, scores);
  else if (bits == 4) ofRows<Four>(codes, codeBytes, list, count, queries, rows, units, scores);
  else ofRows<Two>(codes, codeBytes, list, count, queries, rows, units, scores);
}

// @ts-ignore: decorator
@inline
function ofRows<Bits>(
  codes: usize, codeBytes: usize, list: usize, count: i32, queries: usize, rows: i32, units: usize, scores: usize,
): void {
  if (rows == 1) scoreOrAdd<Bits, One>(codes, codeBytes, list, count, queries, units, scores);
  else if (rows == 2) scoreOrAdd<Bits, Two>(codes, codeBytes, list, count, queries, units, scores);
  else if (rows == 3) scoreOrAdd<Bits, Three>(codes, codeBytes, list, count, queries, units, scores);
  else scoreOrAdd<Bits, Four>(codes, codeBytes, list, count, queries, units, scores);
}

function scoreOrAdd<Bits, Rows>(
  codes: usize, codeBytes: usize, list: usize, count: i32, queries: usize, units: usize, scores: usize,
): void {
  const rows = countOf<Rows>(),
    step: usize = rows == 1 ? 4 : 16,
    unit = v128.load(units),
    offset = v128.load(units, 16);
  if (list == 0) {
    for (const end = codes + <usize>count * codeBytes; codes < end; codes += codeBytes, scores += step) {
      const score = madd(f32x4.convert_i32x4_s(productsOf<Bits, Rows>(codes, codeBytes, queries)), unit, offset);
      if (rows == 1) v128.store32_lane(scores, score, 0);
      else v128.store(scores, score);
    }
    return;
  }
  for (const end = list + <usize>count; list < end; list++) {
    const token = <usize>load<u8>(list);
    const at = scores + token * step;
    const rest = madd(f32x4.convert_i32x4_s(productsOf<Bits, Rows>(codes + token * codeBytes, codeBytes, queries)), unit, offset);
    if (rows == 1) v128.store32_lane(at, f32x4.add(rest, v128.load32_zero(at)), 0);
    else v128.store(at, f32x4.add(rest, v128.load(at)));
  }
}

/**
 * The sums queries . codes of one token, a lane for each row, in iterations of sixteen codes: those of sixteen bytes, or two of
 * each of eight. V8 moves all loads of a loop's body to its beginning: four rows are four sums, eight loads of queries and two
 * of codes, and no more registers are free.
 */
// @ts-ignore: decorator
@inline
function productsOf<Bits, Rows>(codes: usize, codeBytes: usize, queries: usize): v128 {
  const bits = countOf<Bits>(),
    rows = countOf<Rows>();
  let a = i32x4.splat(0),
    b = a,
    c = a,
    d = a;
  let q = queries;
  for (const end = codes + codeBytes; codes < end; codes += bits == 8 ? 16 : 8) {
    let shift = 0;
    do {
      const low = v128.load_ext<u8>(codes);
      const bytes = bits == 2 ? i16x8.shr_u(low, shift) : low;
      const x = codesOf<Bits>(bytes, 0),
        y = bits == 8 ? v128.load_ext<u8>(codes, 8) : codesOf<Bits>(bytes, 1);
      a = dot(dot(a, v128.load(q), x), v128.load(q, 16 * rows), y);
      if (rows > 1) b = dot(dot(b, v128.load(q, 16), x), v128.load(q, 16 + 16 * rows), y);
      if (rows > 2) c = dot(dot(c, v128.load(q, 32), x), v128.load(q, 32 + 16 * rows), y);
      if (rows > 3) d = dot(dot(d, v128.load(q, 48), x), v128.load(q, 48 + 16 * rows), y);
      q += 32 * rows;
      shift += 4; // of two bits, then the upper two codes of each byte
    } while (bits == 2 && shift < 8);
  }
  return rows == 1 ? integerSumsOfLanes(a, a, a, a) : integerSumsOfLanes(a, b, rows > 2 ? c : a, rows > 3 ? d : b);
}
