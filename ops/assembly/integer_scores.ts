import {FormDescriptor} from './form_descriptor';
import {rowWords, scaleOf, zeroOf} from './integer';
import {logOf, maxOfLanes, sumOfLanes} from './math';
import {tileTokens} from './scores';

// Scores of a few queries against integer keys whose groups run along tokens, in integers. Within a group,
//
//     q . k_j = sum_c (q_c s_c) (code_jc + zero_c) = unit * sum_c Q_c code_jc + offset
//
// with Q the folded query q_c s_c rounded to 16 bits and `offset` exact: one integer multiply-add serves eight channels, and
// no key is decoded. What rounding leaves out, sum_c (q_c s_c - unit Q_c) (code - half), is near 3e-5 for usual heads: too
// much where a single token carries much of the attention, and nothing where thousands share it. So where one token of a tile
// carries more than 1/256 of it, a second pass over the tile's codes adds what rounding left out, with 16 more bits.
//
// Channels are taken in the order in which codes unpack: first the lowest code of each byte, then the next.

/** Logarithm of the part of the attention so far from which on a token's score needs both passes: 1/256. */
const significant: f32 = -5.545177;

/**
 * Where rounding moves scores by usually more than 1e-4, thousands of tokens do not make up for it, and every tile gets both
 * passes. Codes and roundings spread evenly: the deviation is unit 2^bits sqrt(dim) / 12, and this is (12e-4)^2.
 */
const uncommon: f32 = 1.44e-6;

/** What added to a small float32 leaves its nearest integer in the lowest bits: 1.5 * 2^23. */
const magic: f32 = 12582912;
const magicBits: i32 = 0x4b400000;

// The width of codes as a type whose size is the bits: a loop for each, with constants in it. (A parameter would do, but the
// optimiser folds the three loops back into one before it sees that the parameter is constant in each.)
// @ts-ignore: decorator
@unmanaged
export class Two {
  bits: u16;
}
// @ts-ignore: decorator
@unmanaged
export class Four {
  bits: u32;
}
// @ts-ignore: decorator
@unmanaged
export class Eight {
  bits: u64;
}

/** Most rows of queries that are met in integers: with more, decoding a tile costs little for each. */
export const mostIntegerRows: i32 = 16;

/** Whether keys may be met in integers; sums of 1,024 products of 8 and 16 bits fit 32. */
export function areIntegerKeys(form: FormDescriptor, rows: i32): bool {
  return (
    form.kind == 1 &&
    !form.basis &&
    form.encoding >> 8 == 0 &&
    form.groupSize >= 16 &&
    rows <= mostIntegerRows &&
    form.dim <= 1024 &&
    form.dim % 32 == 0
  );
}

// Scratch: [scales, zeros] of a group, floats; the rounded queries, 16 bits each, eight channels of three rows side by side
// where they are met by threes; what rounding left of them, likewise; the sums of a second pass; then for each row the query
// and the folded query, floats, and its numbers: unit, offset, exactOffset, the least score that mattered.

// @ts-ignore: decorator
@inline
function roundedAt(scratch: usize, dim: i32, row: i32, rows: i32): usize {
  const block = row - (row % 3);
  const first = scratch + <usize>(dim * 8 + block * dim * 2);
  return block + 3 <= rows ? first + <usize>((row - block) << 4) : first + <usize>((row - block) * dim * 2);
}

// @ts-ignore: decorator
@inline
function rowAt(scratch: usize, dim: i32, row: i32): usize {
  return secondSums(scratch, dim) + 3 * (<usize>tileTokens << 2) + <usize>(row * (dim * 8 + 16));
}

// @ts-ignore: decorator
@inline
function secondSums(scratch: usize, dim: i32): usize {
  return scratch + <usize>(dim * (8 + 4 * mostIntegerRows));
}

/** The place of a channel when first the lowest codes of all bytes are unpacked, then the next. */
// @ts-ignore: decorator
@inline
export function unpackedPlace(channel: i32, dim: i32, bits: i32): i32 {
  const each = 8 / bits; // codes in a byte
  return (channel % each) * (dim / each) + channel / each;
}

/** Brings queries, times `scale`, into the order of unpacked codes: once a head. */
export function takeQueries(form: FormDescriptor, queries: usize, rows: i32, scale: f32, scratch: usize): void {
  const dim = form.dim,
    bits = form.encoding & 0xff;
  for (let row = 0; row < rows; row++) {
    const to = rowAt(scratch, dim, row);
    for (let channel = 0; channel < dim; channel++, queries += 4) {
      store<f32>(to + (<usize>unpackedPlace(channel, dim, bits) << 2), load<f32>(queries) * scale);
    }
    store<f32>(to + <usize>(dim * 8), -Infinity, 12);
  }
}

/** Folds the scales and zero points of a group of tokens into the queries. */
export function foldQueries(form: FormDescriptor, head: i32, group: i32, rows: i32, scratch: usize): void {
  const dim = form.dim,
    bits = form.encoding & 0xff;
  const params = <usize>form.params + (<usize>((head * form.paramRows + group) * dim) << 2);
  if (bits == 8) unpackParams<Eight>(params, dim, scratch);
  else if (bits == 4) unpackParams<Four>(params, dim, scratch);
  else unpackParams<Two>(params, dim, scratch);
  for (let row = 0; row < rows; row++) {
    const step: usize = row - (row % 3) + 3 <= rows ? 48 : 16;
    foldQuery(rowAt(scratch, dim, row), dim, <f32>(1 << (bits - 1)), scratch, roundedAt(scratch, dim, row, rows), step);
  }
}

/** Scales, and zero points plus half the range of the codes, as floats in the order of unpacked codes. */
// @ts-ignore: decorator
@inline
function unpackParams<Width>(params: usize, dim: i32, scales: usize): void {
  const bits = <i32>offsetof<Width>();
  const zeros = scales + (<usize>dim << 2);
  const half = f32x4.splat(<f32>(1 << (bits - 1)));
  const plane = <usize>((dim * bits) >> 3) << 2;
  for (let channel = 0; channel < dim; channel += 4, params += 16) {
    const p = v128.load(params);
    const scale = scaleOf(p);
    const zero = f32x4.add(f32x4.convert_i32x4_s(zeroOf(p)), half);
    const at = <usize>unpackedPlace(channel, dim, bits) << 2;
    if (bits == 8) {
      v128.store(scales + at, scale);
      v128.store(zeros + at, zero);
    } else if (bits == 4) {
      const pairs = v128.shuffle<f32>(scale, scale, 0, 2, 1, 3),
        zeroPairs = v128.shuffle<f32>(zero, zero, 0, 2, 1, 3);
      v128.store64_lane(scales + at, pairs, 0);
      v128.store64_lane(scales + at + plane, pairs, 1);
      v128.store64_lane(zeros + at, zeroPairs, 0);
      v128.store64_lane(zeros + at + plane, zeroPairs, 1);
    } else {
      v128.store32_lane(scales + at, scale, 0);
      v128.store32_lane(scales + at + plane, scale, 1);
      v128.store32_lane(scales + at + 2 * plane, scale, 2);
      v128.store32_lane(scales + at + 3 * plane, scale, 3);
      v128.store32_lane(zeros + at, zero, 0);
      v128.store32_lane(zeros + at + plane, zero, 1);
      v128.store32_lane(zeros + at + 2 * plane, zero, 2);
      v128.store32_lane(zeros + at + 3 * plane, zero, 3);
    }
  }
}

function foldQuery(query: usize, dim: i32, half: f32, scales: usize, rounded: usize, step: usize): void {
  const bytes = <usize>dim << 2;
  const zeros = scales + bytes;
  const folded = query + bytes;
  let maxima = f32x4.splat(0),
    exact = maxima;
  for (let i: usize = 0; i < bytes; i += 16) {
    const f = f32x4.mul(v128.load(query + i), v128.load(scales + i));
    v128.store(folded + i, f);
    maxima = f32x4.pmax(maxima, f32x4.abs(f));
    exact = f32x4.add(exact, f32x4.mul(f, v128.load(zeros + i)));
  }
  // numbers too large or small to be rounded: nothing is, and every score is computed exactly
  // (and units, those of a second pass too, are normal numbers)
  const rounds = maxOfLanes(maxima) > 1e-28 && maxOfLanes(maxima) < 1e33;
  const largest: f32 = rounds ? maxOfLanes(maxima) : 0;
  const inverse = f32x4.splat(rounds ? 32767 / largest : 0);
  const magics = f32x4.splat(magic),
    bits = i32x4.splat(magicBits);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 32, rounded += step) {
    const low = f32x4.add(f32x4.mul(v128.load(folded + i), inverse), magics);
    const high = f32x4.add(f32x4.mul(v128.load(folded + i, 16), inverse), magics);
    sums = f32x4.add(sums, f32x4.add(f32x4.sub(low, magics), f32x4.sub(high, magics)));
    v128.store(rounded, i16x8.narrow_i32x4_s(i32x4.sub(low, bits), i32x4.sub(high, bits)));
  }
  const unit: f32 = largest / 32767;
  const exactOffset = sumOfLanes(exact);
  const tail = folded + bytes;
  store<f32>(tail, unit);
  store<f32>(tail, exactOffset - half * unit * sumOfLanes(sums), 4);
  store<f32>(tail, exactOffset, 8);
}

/** sums[r][j] = sum_c Q_rc code_jc, 32-bit integers, of tokens `from .. from + count` of one group; out [rows, tileTokens]. */
export function integerSums(form: FormDescriptor, head: i32, from: i32, count: i32, rows: i32, scratch: usize, out: usize): void {
  const dim = form.dim;
  const codes = codesOfToken(form, head, from);
  const columnBytes = <usize>tileTokens << 2;
  for (let row = 0; row < rows; ) {
    const together = row + 3 <= rows ? 3 : 1;
    sumsOfRows(form, codes, count, together, roundedAt(scratch, dim, row, rows), out);
    out += <usize>together * columnBytes;
    row += together;
  }
}

// @ts-ignore: decorator
@inline
function codesOfToken(form: FormDescriptor, head: i32, token: i32): usize {
  const codeBytes = <usize>rowWords(form.dim, form.encoding & 0xff) << 2;
  return <usize>form.data + <usize>(head * form.dataRows + token) * codeBytes;
}

/** The sums of one row of queries, or of three. */
function sumsOfRows(form: FormDescriptor, codes: usize, count: i32, rows: i32, rounded: usize, out: usize): void {
  const bits = form.encoding & 0xff;
  const codeBytes = <usize>rowWords(form.dim, bits) << 2;
  if (rows == 3) {
    if (bits == 8) sumsOfThreeRows<Eight>(codes, codeBytes, count, rounded, out);
    else if (bits == 4) sumsOfThreeRows<Four>(codes, codeBytes, count, rounded, out);
    else sumsOfThreeRows<Two>(codes, codeBytes, count, rounded, out);
  } else {
    if (bits == 8) sumsOfRow<Eight>(codes, codeBytes, count, rounded, out);
    else if (bits == 4) sumsOfRow<Four>(codes, codeBytes, count, rounded, out);
    else sumsOfRow<Two>(codes, codeBytes, count, rounded, out);
  }
}

// @ts-ignore: decorator
@inline
function dot(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

/** Code k of each of eight bytes widened to 16 bits. */
// @ts-ignore: decorator
@inline
export function codesOf<Width>(bytes: v128, k: i32): v128 {
  const bits = <i32>offsetof<Width>();
  if (bits == 8) return bytes;
  const shifted = k == 0 ? bytes : i16x8.shr_u(bytes, k * bits);
  const mask = (1 << bits) - 1;
  return (k + 1) * bits == 8 ? shifted : v128.and(shifted, i16x8.splat(<i16>mask));
}

/** The lane sums of four vectors of integers as one vector. */
// @ts-ignore: decorator
@inline
function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}

// V8 moves all loads of a loop's body to its beginning: with more of them than registers are free it would spill the sums.
// So the bodies are short: eight channels, two tokens, up to three queries.

/** Two tokens meet three queries. */
// @ts-ignore: decorator
@inline
function sumsOfThreeRows<Width>(codes: usize, codeBytes: usize, count: i32, queries: usize, out: usize): void {
  const bits = <i32>offsetof<Width>();
  for (let token = 0; token < count; token += 2, out += 8) {
    let k0 = codes + <usize>token * codeBytes;
    let k1 = token + 1 < count ? k0 + codeBytes : k0; // of an odd count the last is met twice
    let q = queries;
    let a0 = i32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0;
    for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 48) {
      const u = codesOf<Width>(v128.load_ext<u8>(k0), 0),
        v = codesOf<Width>(v128.load_ext<u8>(k1), 0);
      const qa = v128.load(q);
      a0 = dot(a0, qa, u);
      a1 = dot(a1, qa, v);
      const qb = v128.load(q, 16);
      b0 = dot(b0, qb, u);
      b1 = dot(b1, qb, v);
      const qc = v128.load(q, 32);
      c0 = dot(c0, qc, u);
      c1 = dot(c1, qc, v);
    }
    if (bits <= 4) {
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 48) {
        const u = codesOf<Width>(v128.load_ext<u8>(k0), 1),
          v = codesOf<Width>(v128.load_ext<u8>(k1), 1);
        const qa = v128.load(q);
        a0 = dot(a0, qa, u);
        a1 = dot(a1, qa, v);
        const qb = v128.load(q, 16);
        b0 = dot(b0, qb, u);
        b1 = dot(b1, qb, v);
        const qc = v128.load(q, 32);
        c0 = dot(c0, qc, u);
        c1 = dot(c1, qc, v);
      }
    }
    if (bits == 2) {
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 48) {
        const u = codesOf<Width>(v128.load_ext<u8>(k0), 2),
          v = codesOf<Width>(v128.load_ext<u8>(k1), 2);
        const qa = v128.load(q);
        a0 = dot(a0, qa, u);
        a1 = dot(a1, qa, v);
        const qb = v128.load(q, 16);
        b0 = dot(b0, qb, u);
        b1 = dot(b1, qb, v);
        const qc = v128.load(q, 32);
        c0 = dot(c0, qc, u);
        c1 = dot(c1, qc, v);
      }
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 48) {
        const u = codesOf<Width>(v128.load_ext<u8>(k0), 3),
          v = codesOf<Width>(v128.load_ext<u8>(k1), 3);
        const qa = v128.load(q);
        a0 = dot(a0, qa, u);
        a1 = dot(a1, qa, v);
        const qb = v128.load(q, 16);
        b0 = dot(b0, qb, u);
        b1 = dot(b1, qb, v);
        const qc = v128.load(q, 32);
        c0 = dot(c0, qc, u);
        c1 = dot(c1, qc, v);
      }
    }
    const ab = sumsOfLanes(a0, a1, b0, b1);
    const cc = sumsOfLanes(c0, c1, c0, c1);
    v128.store64_lane(out, ab, 0);
    v128.store64_lane(out, ab, 1, tileTokens << 2);
    v128.store64_lane(out, cc, 0, tileTokens << 3);
  }
}

/** Two tokens meet one query. */
// @ts-ignore: decorator
@inline
function sumsOfRow<Width>(codes: usize, codeBytes: usize, count: i32, query: usize, out: usize): void {
  const bits = <i32>offsetof<Width>();
  for (let token = 0; token < count; token += 2, out += 8) {
    let k0 = codes + <usize>token * codeBytes;
    let k1 = token + 1 < count ? k0 + codeBytes : k0;
    let q = query;
    let a0 = i32x4.splat(0),
      a1 = a0;
    for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 16) {
      const qa = v128.load(q);
      a0 = dot(a0, qa, codesOf<Width>(v128.load_ext<u8>(k0), 0));
      a1 = dot(a1, qa, codesOf<Width>(v128.load_ext<u8>(k1), 0));
    }
    if (bits <= 4) {
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 16) {
        const qa = v128.load(q);
        a0 = dot(a0, qa, codesOf<Width>(v128.load_ext<u8>(k0), 1));
        a1 = dot(a1, qa, codesOf<Width>(v128.load_ext<u8>(k1), 1));
      }
    }
    if (bits == 2) {
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 16) {
        const qa = v128.load(q);
        a0 = dot(a0, qa, codesOf<Width>(v128.load_ext<u8>(k0), 2));
        a1 = dot(a1, qa, codesOf<Width>(v128.load_ext<u8>(k1), 2));
      }
      k0 -= codeBytes;
      k1 -= codeBytes;
      for (const end = k0 + codeBytes; k0 < end; k0 += 8, k1 += 8, q += 16) {
        const qa = v128.load(q);
        a0 = dot(a0, qa, codesOf<Width>(v128.load_ext<u8>(k0), 3));
        a1 = dot(a1, qa, codesOf<Width>(v128.load_ext<u8>(k1), 3));
      }
    }
    v128.store64_lane(out, sumsOfLanes(a0, a1, a0, a1), 0);
  }
}

/**
 * Turns a row's first `visible` integer sums into scores, in place. Whether one of them matters, seen from the row's running
 * maximum and sum at `tail`: then it needs `addSecondPass`.
 */
export function finishScores(
  form: FormDescriptor, head: i32, from: i32, row: i32, visible: i32, tail: usize, scratch: usize, scores: usize,
): bool {
  const dim = form.dim,
    bits = form.encoding & 0xff;
  const query = rowAt(scratch, dim, row);
  const numbers = query + <usize>(dim * 8);
  const unit = load<f32>(numbers);
  if (unit == 0) {
    scoresInFloats(form, head, from, visible, query + (<usize>dim << 2), load<f32>(numbers, 8), scores);
    return false;
  }
  const units = f32x4.splat(unit),
    offsets = f32x4.splat(load<f32>(numbers, 4));
  const whole = (visible + 3) & ~3;
  for (let j = visible; j < whole; j++) {
    store<u32>(scores + (<usize>j << 2), load<u32>(scores + (<usize>(visible - 1) << 2))); // cannot be a new maximum
  }
  let maxima = f32x4.splat(-Infinity);
  for (let j: usize = 0; j < <usize>whole << 2; j += 16) {
    const score = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(v128.load(scores + j)), units), offsets);
    v128.store(scores + j, score);
    maxima = f32x4.pmax(maxima, score);
  }
  const tileMax = maxOfLanes(maxima),
    oldMax = load<f32>(tail);
  // what may be the new maximum has to be exact, too: rounding moves a score by less than this
  const error: f32 = unit * <f32>dim * <f32>(1 << (bits - 2));
  if (tileMax + error >= oldMax) return true;
  const usual: f32 = unit * <f32>(1 << bits);
  if (usual * usual * <f32>dim > uncommon) return true;
  // the logarithm of the whole sum only grows: what was too little once stays so
  if (tileMax < load<f32>(numbers, 12)) return false;
  const least: f32 = oldMax + logOf(load<f32>(tail, 4)) + significant;
  store<f32>(numbers, least, 12);
  return tileMax >= least;
}

/** Adds to the scores of rows, of those whose bits are set and of their neighbours, what rounding left out. */
export function addSecondPass(
  form: FormDescriptor, head: i32, from: i32, count: i32, rows: i32, which: u32, scratch: usize, scores: usize,
): void {
  const dim = form.dim;
  const half: f32 = <f32>(1 << ((form.encoding & 0xff) - 1));
  const columnBytes = <usize>tileTokens << 2;
  const codes = codesOfToken(form, head, from);
  const sums = secondSums(scratch, dim);
  for (let row = 0; row < rows; ) {
    const together = row + 3 <= rows ? 3 : 1;
    if ((which >> row) & ((1 << together) - 1)) {
      const rounded = roundedAt(scratch, dim, row, rows);
      for (let r = row; r < row + together; r++) {
        const query = rowAt(scratch, dim, r);
        if (load<f32>(query + <usize>(dim * 8)) == 0) continue; // its scores are exact
        roundRest(query, dim, half, roundedAt(scratch, dim, r, rows), together == 3 ? 48 : 16);
      }
      sumsOfRows(form, codes, count, together, rounded + <usize>(2 * dim * mostIntegerRows), sums);
      for (let r = 0; r < together; r++) {
        const numbers = rowAt(scratch, dim, row + r) + <usize>(dim * 8);
        const unit = load<f32>(numbers);
        if (unit == 0) continue;
        const units = f32x4.splat(unit / 32768),
          offsets = f32x4.splat(load<f32>(numbers, 8));
        const source = sums + <usize>r * columnBytes,
          to = scores + <usize>(row + r) * columnBytes;
        for (let j: usize = 0; j < <usize>count << 2; j += 16) {
          const rest = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(v128.load(source + j)), units), offsets);
          v128.store(to + j, f32x4.add(v128.load(to + j), rest));
        }
      }
    }
    row += together;
  }
}

/** What rounding left of a folded query, 16 bits each; its offset takes the place of exactOffset. */
function roundRest(query: usize, dim: i32, half: f32, rounded: usize, step: usize): void {
  const bytes = <usize>dim << 2;
  const folded = query + bytes;
  const unit = load<f32>(folded + bytes);
  const inverse = f32x4.splat(1 / unit);
  const parts = f32x4.splat(32768);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 32, rounded += step) {
    const q = v128.load(rounded);
    const x = f32x4.mul(v128.load(folded + i), inverse),
      y = f32x4.mul(v128.load(folded + i, 16), inverse);
    const low = f32x4.sub(x, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(q))),
      high = f32x4.sub(y, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(q)));
    sums = f32x4.add(sums, f32x4.add(low, high));
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(low, parts))),
      b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(high, parts)));
    v128.store(rounded + <usize>(2 * dim * mostIntegerRows), i16x8.narrow_i32x4_s(a, b));
  }
  store<f32>(folded + bytes, -half * unit * sumOfLanes(sums), 8);
}

/** The scores of a row whose numbers are too large or too small to be rounded. */
function scoresInFloats(
  form: FormDescriptor, head: i32, from: i32, visible: i32, folded: usize, offset: f32, scores: usize,
): void {
  const bits = form.encoding & 0xff;
  const codeBytes = <usize>rowWords(form.dim, bits) << 2;
  const codes = codesOfToken(form, head, from);
  for (let j: usize = 0; j < <usize>visible; j++) {
    store<f32>(scores + (j << 2), exactScore(codes + j * codeBytes, codeBytes, folded, bits) + offset);
  }
}

/** sum_c f_c (code_c - half) in floats. */
function exactScore(codes: usize, codeBytes: usize, folded: usize, bits: i32): f32 {
  const half = 1 << (bits - 1);
  const halves = i16x8.splat(<i16>half),
    mask = i16x8.splat(<i16>(2 * half - 1));
  let sums = f32x4.splat(0);
  for (let k = 0; k < 8; k += bits) {
    for (let i: usize = 0; i < codeBytes; i += 8, folded += 32) {
      const code = i16x8.sub(v128.and(i16x8.shr_u(v128.load_ext<u8>(codes + i), k), mask), halves);
      const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(code));
      const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(code));
      sums = f32x4.add(sums, f32x4.mul(low, v128.load(folded)));
      sums = f32x4.add(sums, f32x4.mul(high, v128.load(folded, 16)));
    }
  }
  return sumOfLanes(sums);
}

/** Bytes of scratch memory for the queries of integer keys. */
export function integerKeyBytes(dim: i32, rows: i32): usize {
  return rowAt(0, dim, rows);
}
