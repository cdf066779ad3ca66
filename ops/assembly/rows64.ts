// Rows of float64 numbers, padded with zeros to whole pairs: a count of bytes is a multiple of 16.

/** The sum of products. */
export function dot64(a: usize, b: usize, bytes: usize): f64 {
  let even = f64x2.splat(0),
    odd = f64x2.splat(0);
  let at: usize = 0;
  for (; at + 32 <= bytes; at += 32) {
    even = f64x2.add(even, f64x2.mul(v128.load(a + at), v128.load(b + at)));
    odd = f64x2.add(odd, f64x2.mul(v128.load(a + at, 16), v128.load(b + at, 16)));
  }
  if (at < bytes) even = f64x2.add(even, f64x2.mul(v128.load(a + at), v128.load(b + at)));
  const sums = f64x2.add(even, odd);
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
}

/** a += factor b. */
export function addScaled64(a: usize, factor: f64, b: usize, bytes: usize): void {
  const factors = f64x2.splat(factor);
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(a + at, f64x2.add(v128.load(a + at), f64x2.mul(factors, v128.load(b + at))));
  }
}

/** a *= factor. */
export function scale64(a: usize, factor: f64, bytes: usize): void {
  const factors = f64x2.splat(factor);
  for (let at: usize = 0; at < bytes; at += 16) v128.store(a + at, f64x2.mul(factors, v128.load(a + at)));
}

/** a, b = cosine a - sine b, sine a + cosine b. */
export function rotate64(a: usize, b: usize, cosine: f64, sine: f64, bytes: usize): void {
  const cosines = f64x2.splat(cosine);
  const sines = f64x2.splat(sine);
  for (let at: usize = 0; at < bytes; at += 16) {
    const first = v128.load(a + at);
    const second = v128.load(b + at);
    v128.store(a + at, f64x2.sub(f64x2.mul(cosines, first), f64x2.mul(sines, second)));
    v128.store(b + at, f64x2.add(f64x2.mul(sines, first), f64x2.mul(cosines, second)));
  }
}

/**
 * x, float32 [rows, columns], as rows of float64, or its columns if `transpose`; false if a number is not finite.
 * @param rowBytes of the rows that are written.
 */
export function loadRows64(
  x: usize,
  rows: i32,
  columns: i32,
  transpose: bool,
  out: usize,
  rowBytes: usize,
): bool {
  const count = transpose ? columns : rows;
  memory.fill(out, 0, <usize>count * rowBytes);
  let check: f64 = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const value = <f64>load<f32>(x);
      check += value * 0; // NaN once a number is NaN or infinite
      store<f64>(out + <usize>(transpose ? j : i) * rowBytes + ((<usize>(transpose ? i : j)) << 3), value);
      x += 4;
    }
  }
  return check == 0;
}
