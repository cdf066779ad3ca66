import {EncodingDescriptor} from './encoding_descriptor';
import {madd, sumOfLanes, sumsOfLanes} from './math';

// What a mean of keys that is rotated to each token's position adds to scores (ops/attention/attend/mean_angles.ts):
//
//     term(p) = sum_i A_i C_i(p) + B_i S_i(p)        C_i(p) = f cos(p theta_i), S_i(p) = f sin(p theta_i)
//
// with rows p of the rotation's tables. In a run of 64 positions whose middle is c, between two positions,
//
//     term(c + x) = E(x) + O(x)        E(x) = sum_i A'_i cos(x theta_i), O(x) = sum_i B'_i sin(x theta_i)
//     A' = A C(c) + B S(c), B' = B C(c) - A S(c)
//
// E is even and O is odd, so that 32 of each give 64 terms. Pairs of at most 1/32 radians per token are one polynomial in x / 32 for all of
// them, of degree 9, whose error is below 3e-7 of their coefficients. The others have tables of cos(x theta_i) and sin(x theta_i). Other
// tokens, and those whose tables are not such cosines and sines, take the sum itself.

const runTokens: i32 = 64;
const center: i32 = 32;
const powers: usize = 10;

// What is prepared once for the tables of a rotation: whether runs can be used; how many pairs are fast; cos and sin of half an angle of each
// pair; polynomial coefficients; the fast pairs, an index each and then 32 cosines and 32 sines each.

const halvesAt: usize = 16;
const waveBytes: usize = <usize>runTokens << 2;

// @ts-ignore: decorator
@inline
function powersAt(pairs: i32): usize {
  return halvesAt + (<usize>pairs << 3);
}

// @ts-ignore: decorator
@inline
function fastAt(pairs: i32): usize {
  return powersAt(pairs) + ((powers * <usize>pairs) << 2);
}

// @ts-ignore: decorator
@inline
function wavesAt(pairs: i32): usize {
  return fastAt(pairs) + (<usize>pairs << 2);
}

/** Bytes of what `prepareTerms` writes. */
export function preparedTermsBytes(pairs: i32): i32 {
  return <i32>wavesAt(pairs) + pairs * <i32>waveBytes;
}

/** Prepares runs of 64 positions for tables [positions, pairs] of a rotation. */
export function prepareTerms(cosines: usize, sines: usize, positions: i32, pairs: i32, prepared: usize): void {
  const rowBytes = <usize>pairs << 2;
  const factor = load<f32>(cosines);
  store<i32>(prepared, <i32>(pairs % 4 == 0 && positions > center && factor > 0 && areRotations(cosines, sines, positions, rowBytes)));
  if (!load<i32>(prepared)) return;
  let fast = 0;
  for (let pair: usize = 0; pair < <usize>pairs; pair++) {
    const first = rowBytes + (pair << 2); // of position 1
    const cosine: f32 = load<f32>(cosines + first) / factor,
      sine: f32 = load<f32>(sines + first) / factor;
    const ofHalf = sqrt<f32>((1 + cosine) / 2);
    const sineOfHalf: f32 = sine / (2 * ofHalf);
    store<f32>(prepared + halvesAt + (pair << 2), ofHalf);
    store<f32>(prepared + halvesAt + rowBytes + (pair << 2), sineOfHalf);
    const isSlow = cosine > 0 && abs(sine) <= <f32>(1.0 / 32);
    // asin(x) = x + x^3 / 6 + 3 x^5 / 40 + ..
    const square = sine * sine;
    const ratio: f32 = 1 + square * <f32>(1.0 / 6 + <f32>0.075 * square);
    const angle: f32 = isSlow ? <f32>32 * sine * ratio : 0;
    let power: f32 = isSlow ? 1 : 0;
    for (let k: usize = 0; k < powers; k++) {
      store<f32>(prepared + powersAt(pairs) + k * rowBytes + (pair << 2), k & 2 ? -power : power);
      power *= angle / <f32>(k + 1);
    }
    if (isSlow) continue;
    store<u32>(prepared + fastAt(pairs) + (<usize>fast << 2), <u32>pair);
    const waves = prepared + wavesAt(pairs) + <usize>fast * waveBytes;
    for (let x: usize = 0; x < <usize>center; x++) {
      const c: f32 = load<f32>(cosines + x * rowBytes + (pair << 2)) / factor,
        s: f32 = load<f32>(sines + x * rowBytes + (pair << 2)) / factor;
      store<f32>(waves + (x << 2), c * ofHalf - s * sineOfHalf);
      store<f32>(waves + (x << 2), s * ofHalf + c * sineOfHalf, waveBytes / 2);
    }
    fast++;
  }
  store<i32>(prepared, fast, 4);
}

/** Whether tables are those of rotations by multiples of one angle for each pair, less than half a turn. */
function areRotations(cosines: usize, sines: usize, positions: i32, rowBytes: usize): bool {
  const inverse = f32x4.splat(1 / load<f32>(cosines));
  let most = f32x4.splat(0);
  for (let position: usize = 0; position < <usize>positions; position++) {
    const step = min(position >> 1, center); // from a position before
    const before = (position - step) * rowBytes,
      rest = step * rowBytes,
      own = position * rowBytes;
    for (let i: usize = 0; i < rowBytes; i += 16) {
      const c = f32x4.mul(v128.load(cosines + before + i), inverse),
        s = f32x4.mul(v128.load(sines + before + i), inverse);
      const cosine = f32x4.sub(f32x4.mul(c, v128.load(cosines + rest + i)), f32x4.mul(s, v128.load(sines + rest + i))),
        sine = madd(s, v128.load(cosines + rest + i), f32x4.mul(c, v128.load(sines + rest + i)));
      most = f32x4.max(most, f32x4.abs(f32x4.sub(cosine, v128.load(cosines + own + i))));
      most = f32x4.max(most, f32x4.abs(f32x4.sub(sine, v128.load(sines + own + i))));
    }
  }
  let least = f32x4.splat(Infinity); // 1 + cos of the first angle
  for (let i = rowBytes; i < 2 * rowBytes; i += 16) least = f32x4.min(least, madd(v128.load(cosines + i), inverse, f32x4.splat(1)));
  const isExact = i32x4.all_true(f32x4.lt(f32x4.mul(most, inverse), f32x4.splat(2e-6)));
  return isExact && i32x4.all_true(f32x4.gt(least, f32x4.splat(0.01)));
}

/** Bytes of scratch memory of `meanTerms`: the rotated coefficients of a row, those of a polynomial. */
export function termsScratch(encoding: EncodingDescriptor): usize {
  return encoding.terms ? polynomialBytes + (<usize>encoding.pairs << 3) : 0;
}

const polynomialBytes: usize = (powers << 2) + 8;

/**
 * scale * term of tokens `from .. from + count` of one head for each of some rows, `outBytes` apart; `angles` [rows, 2 pairs] are the
 * coefficients A, then B, of each.
 */
export function meanTerms(
  encoding: EncodingDescriptor, head: i32, from: i32, count: i32, angles: usize, rows: i32, scale: f32, scratch: usize, out: usize,
  outBytes: usize,
): void {
  const angleBytes = <usize>encoding.pairs << 3;
  for (let token = from; token < from + count; ) {
    const isRun = from + count - token >= runTokens && load<i32>(encoding.terms) && arePositionsRun(encoding, head, token);
    const some = min(runTokens, from + count - token);
    const to = out + (<usize>(token - from) << 2);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const own = angles + row * angleBytes;
      if (isRun) runTerms(encoding, positionOf(encoding, head, token) + center, own, scale, scratch, to + row * outBytes);
      else for (let i = 0; i < some; i++) store<f32>(to + row * outBytes + (<usize>i << 2), scale * termOf(encoding, head, token + i, own));
    }
    token += some;
  }
}

// @ts-ignore: decorator
@inline
function positionOf(encoding: EncodingDescriptor, head: i32, token: i32): i32 {
  if (!encoding.positions) return encoding.firstPosition + token;
  return load<i32>(<usize>encoding.positions + (<usize>(head * encoding.positionRows + token) << 2));
}

/** The sum itself; NaN if the tables have no angles of the token's position. */
function termOf(encoding: EncodingDescriptor, head: i32, token: i32, angles: usize): f32 {
  const position = positionOf(encoding, head, token);
  if (<u32>position >= <u32>encoding.tablePositions) return NaN;
  const rowBytes = <usize>encoding.pairs << 2;
  const cosines = <usize>encoding.cosines + <usize>position * rowBytes,
    sines = <usize>encoding.sines + <usize>position * rowBytes;
  let sums = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 16 <= rowBytes; i += 16) {
    sums = madd(v128.load(cosines + i), v128.load(angles + i), sums);
    sums = madd(v128.load(sines + i), v128.load(angles + rowBytes + i), sums);
  }
  let sum = sumOfLanes(sums);
  for (; i < rowBytes; i += 4) {
    sum += load<f32>(cosines + i) * load<f32>(angles + i) + load<f32>(sines + i) * load<f32>(angles + rowBytes + i);
  }
  return sum;
}

/** Whether 64 tokens have positions without gaps, within the tables. */
function arePositionsRun(encoding: EncodingDescriptor, head: i32, token: i32): bool {
  const first = positionOf(encoding, head, token);
  if (first < 0 || first + runTokens > encoding.tablePositions) return false;
  if (!encoding.positions) return true;
  let at = <usize>encoding.positions + (<usize>(head * encoding.positionRows + token) << 2);
  let expected = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3)),
    differ = i32x4.splat(0);
  for (const end = at + (<usize>runTokens << 2); at < end; at += 16) {
    differ = v128.or(differ, v128.xor(v128.load(at), expected));
    expected = i32x4.add(expected, i32x4.splat(4));
  }
  return !v128.any_true(differ);
}

/** Terms of 64 positions; `middle` is the first of the second half. */
function runTerms(encoding: EncodingDescriptor, middle: i32, angles: usize, scale: f32, scratch: usize, out: usize): void {
  const pairs = encoding.pairs,
    rowBytes = <usize>pairs << 2,
    prepared = <usize>encoding.terms;
  const polynomial = scratch,
    rotated = scratch + polynomialBytes;
  rotateCoefficients(encoding, middle, angles, scale, rotated);
  let at = prepared + powersAt(pairs);
  for (let k: usize = 0; k < powers; k += 2, at += 2 * rowBytes) {
    let even = f32x4.splat(0),
      odd = even;
    for (let i: usize = 0; i < rowBytes; i += 16) {
      even = madd(v128.load(at + i), v128.load(rotated + i), even);
      odd = madd(v128.load(at + rowBytes + i), v128.load(rotated + rowBytes + i), odd);
    }
    v128.store64_lane(polynomial + (k << 2), sumsOfLanes(even, odd, even, odd), 0);
  }
  const fast = load<i32>(prepared, 4);
  let x = f32x4(0.5 / 32, 1.5 / 32, 2.5 / 32, 3.5 / 32);
  let waves = prepared + wavesAt(pairs);
  let above = out + (<usize>center << 2),
    below = above - 16;
  for (let token = 0; token < center; token += 8, waves += 32, above += 32, below -= 32) {
    const y = f32x4.add(x, f32x4.splat(4.0 / 32));
    const x2 = f32x4.mul(x, x),
      y2 = f32x4.mul(y, y);
    let even0 = v128.load32_splat(polynomial, 4 * (powers - 2)),
      odd0 = v128.load32_splat(polynomial, 4 * (powers - 1));
    let even1 = even0,
      odd1 = odd0;
    for (let k = polynomial + 4 * (powers - 4); k >= polynomial; k -= 8) {
      const e = v128.load32_splat(k),
        o = v128.load32_splat(k, 4);
      even0 = madd(even0, x2, e);
      even1 = madd(even1, y2, e);
      odd0 = madd(odd0, x2, o);
      odd1 = madd(odd1, y2, o);
    }
    odd0 = f32x4.mul(odd0, x);
    odd1 = f32x4.mul(odd1, y);
    let pair = prepared + fastAt(pairs),
      wave = waves;
    for (const end = pair + (<usize>fast << 2); pair < end; pair += 4, wave += waveBytes) {
      const own = rotated + (<usize>load<u32>(pair) << 2);
      const a = v128.load32_splat(own),
        b = v128.load32_splat(own + rowBytes);
      even0 = madd(a, v128.load(wave), even0);
      even1 = madd(a, v128.load(wave, 16), even1);
      odd0 = madd(b, v128.load(wave, waveBytes / 2), odd0);
      odd1 = madd(b, v128.load(wave, waveBytes / 2 + 16), odd1);
    }
    v128.store(above, f32x4.add(even0, odd0));
    v128.store(above, f32x4.add(even1, odd1), 16);
    v128.store(below, reversed(f32x4.sub(even0, odd0)));
    v128.store(below - 16, reversed(f32x4.sub(even1, odd1)));
    x = f32x4.add(y, f32x4.splat(4.0 / 32));
  }
}

// @ts-ignore: decorator
@inline
function reversed(x: v128): v128 {
  return v128.shuffle<f32>(x, x, 3, 2, 1, 0);
}

/** A' and B' of all pairs, times `scale`, at half a position before `middle`. */
// @ts-ignore: decorator
@inline
function rotateCoefficients(encoding: EncodingDescriptor, middle: i32, angles: usize, scale: f32, rotated: usize): void {
  const rowBytes = <usize>encoding.pairs << 2;
  const cosines = <usize>encoding.cosines + <usize>middle * rowBytes,
    sines = <usize>encoding.sines + <usize>middle * rowBytes,
    halves = <usize>encoding.terms + halvesAt;
  const scales = f32x4.splat(scale);
  for (let i: usize = 0; i < rowBytes; i += 16) {
    const c = v128.load(cosines + i),
      s = v128.load(sines + i),
      ofHalf = f32x4.mul(v128.load(halves + i), scales),
      sineOfHalf = f32x4.mul(v128.load(halves + rowBytes + i), scales);
    const cosine = madd(c, ofHalf, f32x4.mul(s, sineOfHalf)),
      sine = f32x4.sub(f32x4.mul(s, ofHalf), f32x4.mul(c, sineOfHalf));
    const a = v128.load(angles + i),
      b = v128.load(angles + rowBytes + i);
    v128.store(rotated + i, madd(a, cosine, f32x4.mul(b, sine)));
    v128.store(rotated + rowBytes + i, f32x4.sub(f32x4.mul(b, cosine), f32x4.mul(a, sine)));
  }
}

/**
 * The coefficients A, then B, of queries [heads, rows, dim] and a mean [heads, dim]: out [heads, rows, 2 pairs]. Of a pair (a, b) of a
 * query and (m, n) of the mean, A = a m + b n and B = b m - a n.
 */
export function meanAngles(
  queries: usize, mean: usize, out: usize, heads: i32, rows: i32, dim: i32, pairs: i32, interleaved: i32,
): void {
  const rowBytes = <usize>dim << 2,
    half = <usize>pairs << 2;
  const second: usize = interleaved ? 4 : half,
    step: usize = interleaved ? 8 : 4;
  for (let head = 0; head < heads; head++, mean += rowBytes) {
    for (let row = 0; row < rows; row++, queries += rowBytes, out += 2 * half) {
      let i: usize = 0;
      for (let pair: usize = 0; pair < half; pair += 4, i += step) {
        const a = load<f32>(queries + i),
          b = load<f32>(queries + i + second);
        const m = load<f32>(mean + i),
          n = load<f32>(mean + i + second);
        store<f32>(out + pair, a * m + b * n);
        store<f32>(out + pair + half, b * m - a * n);
      }
    }
  }
}
