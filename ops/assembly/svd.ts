// Singular value decomposition in float64. The eigenvectors V of the smaller Gram matrix come first: they make the rows of V A nearly
// orthogonal. One-sided Jacobi (Hestenes 1958; Demmel and Veselic 1992) then turns pairs of rows until all are, which removes what the
// Gram matrix lost: the squares of small singular values below 1e-16 of the largest square.
//
// Scratch, in float64, for count = min(m, n) rows of length = max(m, n):
//   vectors [count, count], then the six arrays of decompose and order int32 [count], as in eigh.ts,
//   then given [count, length] and turned [count, length], all rows padded to pairs.
import {decompose, eighScratch, leadingSign, rowBytesOf, sortDescending, storeScaled} from './eigh';
import {addScaled64, dot64, loadRows64, rotate64, scale64} from './rows64';

/** Rows whose cosine is below this are orthogonal: results are float32. */
const orthogonal: f64 = 1e-10;
/** Jacobi converges quadratically: after a sweep whose largest cosine was below this, all are below `orthogonal`. */
const lastSweep: f64 = 1e-6;
/** After the Gram matrix one or two are enough. */
const mostSweeps: i32 = 30;
/** Of float64. */
const epsilon: f64 = 2.220446049250313e-16;

/** Bytes of scratch memory. */
export function svdScratch(m: i32, n: i32): usize {
  const count = min(m, n);
  return aligned(eighScratch(count)) + 2 * <usize>count * rowBytesOf(max(m, n));
}

function aligned(bytes: usize): usize {
  return (bytes + 15) & ~15;
}

/** x [stack, m, n] -> out [stack, min(m, n), m + 1 + n]: rows (u, s, v), the largest s first. */
export function svd(x: usize, out: usize, scratch: usize, stack: i32, m: i32, n: i32): void {
  const tall = m >= n;
  const count = min(m, n);
  const rowBytes = rowBytesOf(count);
  const diagonal = scratch + <usize>count * rowBytes;
  const order = diagonal + 6 * rowBytes;
  const length = max(m, n);
  const longBytes = rowBytesOf(length);
  const given = scratch + aligned(eighScratch(count));
  const turned = given + <usize>count * longBytes;
  for (let i = 0; i < stack; i++) {
    // columns of a tall matrix, rows of a wide one
    if (loadRows64(x, m, n, tall, given, longBytes) && startByGram(given, count, longBytes, scratch, rowBytes)) {
      turnByVectors(given, turned, count, longBytes, scratch, rowBytes);
      orthogonalize(turned, count, longBytes, scratch, rowBytes, diagonal);
      measure(turned, count, longBytes, diagonal);
      sortDescending(diagonal, order, count);
      normalize(turned, count, length, diagonal, order);
      storeTriplets(turned, longBytes, scratch, rowBytes, diagonal, order, out, m, n);
    } else {
      for (let at: usize = 0; at < (<usize>(count * (m + 1 + n))) << 2; at += 4) store<f32>(out + at, NaN);
    }
    x += (<usize>(m * n)) << 2;
    out += (<usize>(count * (m + 1 + n))) << 2;
  }
}

/** The eigenvectors of the rows' Gram matrix. */
function startByGram(given: usize, count: i32, longBytes: usize, vectors: usize, rowBytes: usize): bool {
  memory.fill(vectors, 0, <usize>count * rowBytes);
  for (let i = 0; i < count; i++) {
    const row = given + <usize>i * longBytes;
    for (let j = 0; j <= i; j++) {
      store<f64>(
        vectors + <usize>i * rowBytes + ((<usize>j) << 3),
        dot64(row, given + <usize>j * longBytes, longBytes),
      );
    }
  }
  return decompose(vectors, count, rowBytes, vectors + <usize>count * rowBytes);
}

/** turned = vectors given. */
function turnByVectors(
  given: usize,
  turned: usize,
  count: i32,
  longBytes: usize,
  vectors: usize,
  rowBytes: usize,
): void {
  memory.fill(turned, 0, <usize>count * longBytes);
  for (let i = 0; i < count; i++) {
    const row = turned + <usize>i * longBytes;
    const factors = vectors + <usize>i * rowBytes;
    let j = 0;
    for (; j + 4 <= count; j += 4) {
      const a = given + <usize>j * longBytes;
      const b = a + longBytes,
        c = b + longBytes,
        d = c + longBytes;
      const factor = factors + ((<usize>j) << 3);
      const ofA = v128.load64_splat(factor),
        ofB = v128.load64_splat(factor, 8),
        ofC = v128.load64_splat(factor, 16),
        ofD = v128.load64_splat(factor, 24);
      for (let at: usize = 0; at < longBytes; at += 16) {
        const first = f64x2.add(f64x2.mul(ofA, v128.load(a + at)), f64x2.mul(ofB, v128.load(b + at)));
        const second = f64x2.add(f64x2.mul(ofC, v128.load(c + at)), f64x2.mul(ofD, v128.load(d + at)));
        v128.store(row + at, f64x2.add(v128.load(row + at), f64x2.add(first, second)));
      }
    }
    for (; j < count; j++) {
      addScaled64(row, load<f64>(factors + ((<usize>j) << 3)), given + <usize>j * longBytes, longBytes);
    }
  }
}

/** Turns pairs of rows, and of the vectors, until all are orthogonal. Rows of rounding errors stay as they are. */
function orthogonalize(
  rows: usize,
  count: i32,
  longBytes: usize,
  vectors: usize,
  rowBytes: usize,
  squares: usize,
): void {
  for (let sweeps = 0; sweeps < mostSweeps; sweeps++) {
    let largest: f64 = 0;
    for (let i = 0; i < count; i++) {
      const row = rows + <usize>i * longBytes;
      const square = dot64(row, row, longBytes);
      store<f64>(squares + ((<usize>i) << 3), square);
      largest = max(largest, square);
    }
    const share = epsilon * <f64>(longBytes >>> 3);
    const noise = largest * share * share;
    let worst: f64 = 0;
    for (let i = 0; i < count - 1; i++) {
      const atI = squares + ((<usize>i) << 3);
      const row = rows + <usize>i * longBytes;
      for (let j = i + 1; j < count; j++) {
        const atJ = squares + ((<usize>j) << 3);
        const a = load<f64>(atI);
        const b = load<f64>(atJ);
        if (a <= noise || b <= noise) continue;
        const other = rows + <usize>j * longBytes;
        const product = dot64(row, other, longBytes);
        const cosine = abs(product) / (sqrt(a) * sqrt(b));
        if (!(cosine > orthogonal)) continue;
        worst = max(worst, cosine);
        const ratio = (b - a) / (2 * product);
        const tangent = (ratio < 0 ? -1 : 1) / (abs(ratio) + sqrt(1 + ratio * ratio));
        const c = 1 / sqrt(1 + tangent * tangent);
        rotate64(row, other, c, c * tangent, longBytes);
        rotate64(vectors + <usize>i * rowBytes, vectors + <usize>j * rowBytes, c, c * tangent, rowBytes);
        store<f64>(atI, a - tangent * product);
        store<f64>(atJ, b + tangent * product);
      }
    }
    if (worst < lastSweep) return;
  }
}

/** The lengths of the rows. */
function measure(rows: usize, count: i32, longBytes: usize, lengths: usize): void {
  for (let i = 0; i < count; i++) {
    const row = rows + <usize>i * longBytes;
    store<f64>(lengths + ((<usize>i) << 3), sqrt(dot64(row, row, longBytes)));
  }
}

/** Divides rows by their lengths. Those of rounding errors become some unit vectors that are orthogonal to all others. */
function normalize(rows: usize, count: i32, length: i32, lengths: usize, order: usize): void {
  const longBytes = rowBytesOf(length);
  const noise = load<f64>(lengths + ((<usize>load<i32>(order)) << 3)) * epsilon * <f64>length;
  for (let i = 0; i < count; i++) {
    const index = load<i32>(order + ((<usize>i) << 2));
    const row = rows + <usize>index * longBytes;
    const size = load<f64>(lengths + ((<usize>index) << 3));
    if (size > 0) scale64(row, 1 / size, longBytes);
    if (size > noise || (size > 0 && makeOrthogonal(row, rows, i, longBytes, order))) continue;
    // a unit vector has at least (length - i) / length of its square outside of i others for one of its axes
    let best = 0;
    let least: f64 = Infinity;
    for (let axis = 0; axis < length; axis++) {
      let within: f64 = 0;
      for (let j = 0; j < i; j++) {
        const component = load<f64>(
          rows + <usize>load<i32>(order + ((<usize>j) << 2)) * longBytes + ((<usize>axis) << 3),
        );
        within += component * component;
      }
      if (within < least) {
        least = within;
        best = axis;
      }
    }
    memory.fill(row, 0, longBytes);
    store<f64>(row + ((<usize>best) << 3), 1);
    const found = makeOrthogonal(row, rows, i, longBytes, order);
    // only where length is beyond 10^12 could that fail
    if (!found) return;
  }
}

/** A unit vector less its parts along the first rows, as a unit vector: false if they are nearly all of it. */
function makeOrthogonal(row: usize, rows: usize, before: i32, longBytes: usize, order: usize): bool {
  for (let pass = 0; pass < 2; pass++) {
    for (let j = 0; j < before; j++) {
      const other = rows + <usize>load<i32>(order + ((<usize>j) << 2)) * longBytes;
      addScaled64(row, -dot64(row, other, longBytes), other, longBytes);
    }
    const size = sqrt(dot64(row, row, longBytes));
    if (!(size > 1e-6)) return false;
    scale64(row, 1 / size, longBytes);
  }
  return true;
}

/** Rows (u, s, v) as float32, with v's leading component positive. */
function storeTriplets(
  unit: usize,
  longBytes: usize,
  vectors: usize,
  rowBytes: usize,
  lengths: usize,
  order: usize,
  out: usize,
  m: i32,
  n: i32,
): void {
  const tall = m >= n;
  for (let i = 0; i < min(m, n); i++) {
    const index = load<i32>(order + ((<usize>i) << 2));
    const long = unit + <usize>index * longBytes;
    const short = vectors + <usize>index * rowBytes;
    const v = tall ? short : long;
    const sign = leadingSign(v, n);
    storeScaled(tall ? long : short, m, sign, out);
    store<f32>(out + ((<usize>m) << 2), <f32>load<f64>(lengths + ((<usize>index) << 3)));
    storeScaled(v, n, sign, out + ((<usize>(m + 1)) << 2));
    out += (<usize>(m + 1 + n)) << 2;
  }
}
