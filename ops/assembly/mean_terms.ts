import {EncodingDescriptor} from './encoding_descriptor';
import {madd, sumOfLanes, sumsOfLanes} from './math';

// What a mean of keys that is rotated to each token's position adds to scores (ops/attention/attend/mean_angles.ts):
//
//     term(p) = sum_i A_i C_i(p) + B_i S_i(p)        C_i(p) = f cos(p theta_i), S_i(p) = f sin(p theta_i)
//
// with rows p of the rotation's tables. In a run of 64 positions around c, with x = p - c from -32 to 31,
//
//     term(c + x) = sum_i A'_i cos(x theta_i) + B'_i sin(x theta_i)        A' = A C(c) + B S(c), B' = B C(c) - A S(c)
//
// Pairs of at most 1/32 radians per token are one polynomial in x / 32 for all of them, of degree 9, whose error is below 3e-7 of their
// coefficients. The others have tables of cos(x theta_i) and sin(x theta_i). Other tokens, and those whose tables are not such cosines
// and sines, take the sum itself.

const runTokens: i32 = 64;
const center: i32 = 32;
const terms: usize = 10;

// What is prepared for a rotation: whether runs can be used; how many pairs are fast; polynomial coefficients; the rotated coefficients
// of one row; the fast pairs, an index each and then the tables, 64 cosines and 64 sines each.

const polynomialAt: usize = 16;
const powersAt: usize = polynomialAt + 48;
const waveBytes: usize = 2 * (<usize>runTokens << 2);

// @ts-ignore: decorator
@inline
function rotatedAt(pairs: i32): usize {
  return powersAt + ((terms * <usize>pairs) << 2);
}

// @ts-ignore: decorator
@inline
function fastAt(pairs: i32): usize {
  return rotatedAt(pairs) + (<usize>pairs << 3);
}

// @ts-ignore: decorator
@inline
function wavesAt(pairs: i32): usize {
  return fastAt(pairs) + (<usize>pairs << 2);
}

/** Bytes of what `prepareTerms` writes. */
export function preparedBytes(encoding: EncodingDescriptor): usize {
  return encoding.angles ? wavesAt(encoding.pairs) + <usize>encoding.pairs * waveBytes : 0;
}

/** Prepares runs of 64 positions for keys with a rotated mean. */
export function prepareTerms(encoding: EncodingDescriptor, prepared: usize): void {
  if (!encoding.angles) return;
  const pairs = encoding.pairs,
    rowBytes = <usize>pairs << 2;
  const cosines = <usize>encoding.cosines,
    sines = <usize>encoding.sines;
  const factor = load<f32>(cosines);
  store<i32>(prepared, <i32>(pairs % 4 == 0 && encoding.tablePositions > center && factor > 0));
  if (!load<i32>(prepared)) return;
  let fast = 0;
  for (let pair: usize = 0; pair < <usize>pairs; pair++) {
    const first = rowBytes + (pair << 2); // of position 1
    const sine: f32 = load<f32>(sines + first) / factor;
    const isSlow = load<f32>(cosines + first) > 0 && abs(sine) <= <f32>(1.0 / 32);
    // asin(x) = x + x^3 / 6 + 3 x^5 / 40 + ..
    const square = sine * sine;
    const ratio: f32 = 1 + square * <f32>(1.0 / 6 + <f32>0.075 * square);
    const angle: f32 = isSlow ? <f32>32 * sine * ratio : 0;
    let power: f32 = isSlow ? 1 : 0;
    for (let k: usize = 0; k < terms; k++) {
      store<f32>(prepared + powersAt + k * rowBytes + (pair << 2), k & 2 ? -power : power);
      power *= angle / <f32>(k + 1);
    }
    if (isSlow) continue;
    store<u32>(prepared + fastAt(pairs) + (<usize>fast << 2), <u32>pair);
    const waves = prepared + wavesAt(pairs) + <usize>fast * waveBytes;
    for (let x = -center; x < runTokens - center; x++) {
      const row = <usize>abs(x) * rowBytes + (pair << 2);
      const at = waves + (<usize>(x + center) << 2);
      const s = load<f32>(sines + row) / factor;
      store<f32>(at, load<f32>(cosines + row) / factor);
      store<f32>(at, x < 0 ? -s : s, runTokens << 2);
    }
    fast++;
  }
  store<i32>(prepared, fast, 4);
}

/**
 * scale * term of tokens `from .. from + count` of one head for each of some rows, `outBytes` apart; `angles` [rows, 2 pairs] are the
 * coefficients A, then B, of each.
 */
export function meanTerms(
  encoding: EncodingDescriptor, head: i32, from: i32, count: i32, angles: usize, rows: i32, scale: f32, prepared: usize, out: usize,
  outBytes: usize,
): void {
  const angleBytes = <usize>encoding.pairs << 3;
  for (let token = from; token < from + count; ) {
    const position = from + count - token >= runTokens && load<i32>(prepared) ? runFrom(encoding, head, token) : -1;
    const some = min(runTokens, from + count - token);
    const to = out + (<usize>(token - from) << 2);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const own = angles + row * angleBytes;
      if (position >= 0) runTerms(encoding, position + center, own, scale, prepared, to + row * outBytes);
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

/** The first of 64 positions, if these tokens have positions without gaps and the tables have what rotation by their ends gives; or -1. */
function runFrom(encoding: EncodingDescriptor, head: i32, token: i32): i32 {
  const first = positionOf(encoding, head, token);
  if (first < 0 || first + runTokens > encoding.tablePositions) return -1;
  for (let i = 1; encoding.positions && i < runTokens; i++) if (positionOf(encoding, head, token + i) != first + i) return -1;
  const rowBytes = <usize>encoding.pairs << 2;
  const cosines = <usize>encoding.cosines,
    sines = <usize>encoding.sines;
  const middle = <usize>(first + center) * rowBytes,
    start = <usize>first * rowBytes,
    last = <usize>(first + runTokens - 1) * rowBytes;
  const half = <usize>center * rowBytes,
    rest = <usize>(runTokens - 1 - center) * rowBytes;
  const inverse = f32x4.splat(1 / load<f32>(cosines));
  let most = f32x4.splat(0);
  for (let i: usize = 0; i < rowBytes; i += 16) {
    const c = f32x4.mul(v128.load(cosines + middle + i), inverse),
      s = f32x4.mul(v128.load(sines + middle + i), inverse);
    // cos(a - b) and cos(a + b)
    const before = madd(c, v128.load(cosines + half + i), f32x4.mul(s, v128.load(sines + half + i))),
      after = f32x4.sub(f32x4.mul(c, v128.load(cosines + rest + i)), f32x4.mul(s, v128.load(sines + rest + i)));
    most = f32x4.max(most, f32x4.abs(f32x4.sub(before, v128.load(cosines + start + i))));
    most = f32x4.max(most, f32x4.abs(f32x4.sub(after, v128.load(cosines + last + i))));
    // sin(a - b)
    const sine = f32x4.sub(f32x4.mul(s, v128.load(cosines + half + i)), f32x4.mul(c, v128.load(sines + half + i)));
    most = f32x4.max(most, f32x4.abs(f32x4.sub(sine, v128.load(sines + start + i))));
  }
  return i32x4.all_true(f32x4.lt(most, f32x4.splat(1e-5))) ? first : -1;
}

/** Terms of 64 positions around one. */
function runTerms(encoding: EncodingDescriptor, middle: i32, angles: usize, scale: f32, prepared: usize, out: usize): void {
  const pairs = encoding.pairs,
    rowBytes = <usize>pairs << 2;
  const cosines = <usize>encoding.cosines + <usize>middle * rowBytes,
    sines = <usize>encoding.sines + <usize>middle * rowBytes;
  const rotated = prepared + rotatedAt(pairs),
    polynomial = prepared + polynomialAt;
  const scales = f32x4.splat(scale);
  for (let i: usize = 0; i < rowBytes; i += 16) {
    const c = f32x4.mul(v128.load(cosines + i), scales),
      s = f32x4.mul(v128.load(sines + i), scales);
    const a = v128.load(angles + i),
      b = v128.load(angles + rowBytes + i);
    v128.store(rotated + i, madd(a, c, f32x4.mul(b, s)));
    v128.store(rotated + rowBytes + i, f32x4.sub(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  let powers = prepared + powersAt;
  for (let k: usize = 0; k < terms; k += 2, powers += 2 * rowBytes) {
    let even = f32x4.splat(0),
      odd = even;
    for (let i: usize = 0; i < rowBytes; i += 16) {
      even = madd(v128.load(powers + i), v128.load(rotated + i), even);
      odd = madd(v128.load(powers + rowBytes + i), v128.load(rotated + rowBytes + i), odd);
    }
    v128.store64_lane(polynomial + (k << 2), sumsOfLanes(even, odd, even, odd), 0);
  }
  const fast = load<i32>(prepared, 4);
  const steps = f32x4(-1, -31.0 / 32, -30.0 / 32, -29.0 / 32);
  for (let token = 0; token < runTokens; token += 16) {
    const x0 = f32x4.add(steps, f32x4.splat(<f32>token / 32)),
      x1 = f32x4.add(x0, f32x4.splat(4.0 / 32)),
      x2 = f32x4.add(x0, f32x4.splat(8.0 / 32)),
      x3 = f32x4.add(x0, f32x4.splat(12.0 / 32));
    let t0 = v128.load32_splat(polynomial, 4 * (terms - 1)),
      t1 = t0,
      t2 = t0,
      t3 = t0;
    for (let at = polynomial + 4 * (terms - 2); at >= polynomial; at -= 4) {
      const c = v128.load32_splat(at);
      t0 = madd(t0, x0, c);
      t1 = madd(t1, x1, c);
      t2 = madd(t2, x2, c);
      t3 = madd(t3, x3, c);
    }
    let pair = prepared + fastAt(pairs),
      waves = prepared + wavesAt(pairs) + (<usize>token << 2);
    for (const end = pair + (<usize>fast << 2); pair < end; pair += 4, waves += waveBytes) {
      const own = rotated + (<usize>load<u32>(pair) << 2);
      const a = v128.load32_splat(own),
        b = v128.load32_splat(own + rowBytes);
      t0 = madd(a, v128.load(waves), madd(b, v128.load(waves, runTokens << 2), t0));
      t1 = madd(a, v128.load(waves, 16), madd(b, v128.load(waves, 16 + (runTokens << 2)), t1));
      t2 = madd(a, v128.load(waves, 32), madd(b, v128.load(waves, 32 + (runTokens << 2)), t2));
      t3 = madd(a, v128.load(waves, 48), madd(b, v128.load(waves, 48 + (runTokens << 2)), t3));
    }
    const to = out + (<usize>token << 2);
    v128.store(to, t0);
    v128.store(to, t1, 16);
    v128.store(to, t2, 32);
    v128.store(to, t3, 48);
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
