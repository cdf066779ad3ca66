import {EncodingDescriptor} from './encoding_descriptor';
import {groupChannels, headLayout, sharedOf, termsAt, upperBits, widthBytes} from './lloyd_max';
import {sumOfLanes} from './math';
import {integersOf, shifted} from './rounding';

// The tables of one row of queries that lloyd_max_keys.ts scans codes by.

/** The largest integer that a term is rounded to. */
const largestTerm: f32 = 32767;

// What a row has: which tiles of the block have been mended, a bit each; room for the scores of two tiles; then two tables, of the
// rounded terms and of their rests. A table has its unit, a constant to add; then for each vector of codes the terms of both nibbles,
// lower and upper bytes.

export const restsAt: usize = 16;
export const tablesAt: usize = restsAt + 128;
export const roundedAt: usize = 16;
export const roundedBytes: usize = 64;

/** Bytes of terms in floats of one vector, and of the largest of each of its nibbles. */
const exactBytes: usize = 128;
const mostBytes: usize = 8;

// @ts-ignore: decorator
@inline
export function tableBytes(vectors: i32): usize {
  return roundedAt + <usize>vectors * roundedBytes;
}

/** Bytes of the tables of one row. */
export function rowTableBytes(vectors: i32): usize {
  return tablesAt + 2 * tableBytes(vectors);
}

/** Bytes of scratch memory of `makeTables`. */
export function makeTablesBytes(vectors: i32): usize {
  return <usize>vectors * (exactBytes + mostBytes);
}

/** The tables of one row: `query` times `scale`. */
export function makeTables(
  encoding: EncodingDescriptor, head: i32, vectors: i32, query: usize, scale: f32, tables: usize, scratch: usize,
): void {
  const widths = headLayout(encoding, head) + 4;
  const shared = sharedOf(encoding);
  let to = scratch,
    most = scratch + <usize>vectors * exactBytes;
  for (let group = 0; group < encoding.dim / groupChannels; group++, query += <usize>groupChannels << 2) {
    const width = load<i32>(widths + (<usize>group << 2));
    if (width == 0) continue;
    const terms = shared + <usize>width * widthBytes + termsAt;
    const upper = upperBits(width),
      lower = width - upper;
    makePlane(query, scale, upper, terms, to, most);
    to += <usize>upper * exactBytes;
    most += <usize>upper * mostBytes;
    if (lower == 0) continue;
    makePlane(query, scale, lower, terms + 64, to, most);
    to += <usize>lower * exactBytes;
    most += <usize>lower * mostBytes;
  }
  roundTables(scratch, tables, vectors);
}

/**
 * Terms of one plane of a group, of 16 values of the lower nibble of each vector, then of the upper one; and the largest of each nibble,
 * whose negative is the least.
 */
function makePlane(query: usize, scale: f32, bits: i32, terms: usize, to: usize, most: usize): void {
  const scales = f32x4.splat(scale);
  const first = v128.load(terms);
  const largest = load<f32>(terms + (<usize>((1 << bits) - 1) << 2));
  for (let nibble = 0; nibble < 2 * bits; nibble++, to += 64) {
    let size: f32;
    if (bits == 4) {
      const a = load<f32>(query) * scale;
      const q = f32x4.splat(a);
      v128.store(to, f32x4.mul(q, first));
      v128.store(to, f32x4.mul(q, v128.load(terms, 16)), 16);
      v128.store(to, f32x4.mul(q, v128.load(terms, 32)), 32);
      v128.store(to, f32x4.mul(q, v128.load(terms, 48)), 48);
      size = abs(a);
      query += 4;
    } else if (bits == 2) {
      const a = load<f32>(query) * scale,
        b = load<f32>(query, 4) * scale;
      const ofA = f32x4.mul(f32x4.splat(a), first);
      v128.store(to, f32x4.add(ofA, f32x4.splat(b * load<f32>(terms))));
      v128.store(to, f32x4.add(ofA, f32x4.splat(b * load<f32>(terms, 4))), 16);
      v128.store(to, f32x4.add(ofA, f32x4.splat(b * load<f32>(terms, 8))), 32);
      v128.store(to, f32x4.add(ofA, f32x4.splat(b * load<f32>(terms, 12))), 48);
      size = abs(a) + abs(b);
      query += 8;
    } else {
      const q = f32x4.mul(f32x4.mul(v128.load(query), scales), f32x4.splat(largest)); // the other term is its negative
      const a = f32x4.extract_lane(q, 0),
        b = f32x4.extract_lane(q, 1);
      const ab = f32x4(-a - b, a - b, b - a, a + b);
      const c = v128.shuffle<f32>(q, q, 2, 2, 2, 2),
        d = v128.shuffle<f32>(q, q, 3, 3, 3, 3);
      v128.store(to, f32x4.sub(f32x4.sub(ab, c), d));
      v128.store(to, f32x4.sub(f32x4.add(ab, c), d), 16);
      v128.store(to, f32x4.add(f32x4.sub(ab, c), d), 32);
      v128.store(to, f32x4.add(f32x4.add(ab, c), d), 48);
      size = sumOfLanes(f32x4.abs(v128.load(query))) * abs(scale);
      query += 16;
    }
    store<f32>(most, size * largest);
    most += 4;
  }
}

/** Half the range of the sums of lower bytes, which are taken as signed 16-bit numbers around it. */
// @ts-ignore: decorator
@inline
export function middleOf(vectors: i32): i32 {
  return 255 * vectors;
}

/** Rounds a row's terms, in one unit, and what that leaves of them; terms below 1e-30 become 0. */
function roundTables(terms: usize, tables: usize, vectors: i32): void {
  let most = terms + <usize>vectors * exactBytes;
  const end = most;
  let largest: f32 = 0,
    sum: f32 = 0;
  for (let at = most, last = most + <usize>vectors * mostBytes; at < last; at += 4) {
    largest = max(largest, load<f32>(at));
    sum += load<f32>(at);
  }
  const unit: f32 = largest < 1e-30 ? 0 : (2 * largest) / largestTerm;
  const inverse = f32x4.splat(largest < 1e-30 ? 0 : 1 / unit);
  const table = tables + tablesAt,
    rests = table + tableBytes(vectors);
  const restUnit = unit / largestTerm;
  store<f32>(table, unit);
  store<f32>(table, unit * <f32>middleOf(vectors) - sum, 4);
  store<f32>(rests, restUnit);
  store<f32>(rests, restUnit * <f32>middleOf(vectors) - unit * <f32>vectors, 4); // rests are stored plus half a unit
  const toRests = tableBytes(vectors);
  for (let to = table + roundedAt; terms < end; terms += exactBytes, most += mostBytes, to += roundedBytes) {
    roundNibble(terms, v128.load32_splat(most), inverse, to, toRests);
    roundNibble(terms + 64, v128.load32_splat(most, 4), inverse, to + 16, toRests);
  }
}

/** Sixteen terms plus their largest, and what rounding leaves of them. */
// @ts-ignore: decorator
@inline
function roundNibble(terms: usize, most: v128, inverse: v128, to: usize, toRests: usize): void {
  const x0 = f32x4.mul(f32x4.add(v128.load(terms), most), inverse),
    x1 = f32x4.mul(f32x4.add(v128.load(terms, 16), most), inverse),
    x2 = f32x4.mul(f32x4.add(v128.load(terms, 32), most), inverse),
    x3 = f32x4.mul(f32x4.add(v128.load(terms, 48), most), inverse);
  const zero = f32x4.splat(0),
    largest = f32x4.splat(largestTerm);
  // rounding may have moved the least and the largest by a unit
  const n0 = f32x4.pmin(f32x4.pmax(f32x4.nearest(x0), zero), largest),
    n1 = f32x4.pmin(f32x4.pmax(f32x4.nearest(x1), zero), largest),
    n2 = f32x4.pmin(f32x4.pmax(f32x4.nearest(x2), zero), largest),
    n3 = f32x4.pmin(f32x4.pmax(f32x4.nearest(x3), zero), largest);
  storeBytes(integersOf(shifted(n0), shifted(n1)), integersOf(shifted(n2), shifted(n3)), to);
  storeBytes(
    integersOf(restOf(x0, n0), restOf(x1, n1)),
    integersOf(restOf(x2, n2), restOf(x3, n3)),
    to + toRests,
  );
}

/** What is left of numbers, plus a half, in the unit of rests. */
// @ts-ignore: decorator
@inline
function restOf(x: v128, whole: v128): v128 {
  const rest = f32x4.add(f32x4.sub(x, whole), f32x4.splat(0.5));
  return shifted(f32x4.mul(f32x4.pmin(f32x4.pmax(rest, f32x4.splat(0)), f32x4.splat(1)), f32x4.splat(largestTerm)));
}

/** Sixteen numbers of 15 bits: eight lower bits each at `to`, seven upper ones 32 bytes on. */
// @ts-ignore: decorator
@inline
function storeBytes(low: v128, high: v128, to: usize): void {
  const mask = i16x8.splat(255);
  v128.store(to, i8x16.narrow_i16x8_u(v128.and(low, mask), v128.and(high, mask)));
  v128.store(to, i8x16.narrow_i16x8_u(i16x8.shr_u(low, 8), i16x8.shr_u(high, 8)), 32);
}
