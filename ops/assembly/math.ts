/** a b + c: with one rounding and one instruction if the module is built for relaxed SIMD and the processor has it. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(c, f32x4.mul(a, b));
}

/** e^x of four numbers, for x <= 88 (softmax weights: x <= 0): relative error below 2e-7 (1 + |x|); 0 below -88. */
// @ts-ignore: decorator
@inline
export function expOf4(x: v128): v128 {
  const bounded = boundedBelow(x);
  const shifted = roundedPower(bounded);
  return f32x4.mul(powerOf(restOfPower(bounded, shifted)), exponentOf(shifted));
}

// e^x = 2^t = 2^r 2^n, t = x / ln 2, n the nearest integer. In a loop over many numbers, what comes before the polynomial is a
// loop of its own, and the polynomial another: processors work at as many numbers at once as their queues hold steps.

/** x, bounded below by t = -127; pmax is one instruction and max six, and a NaN passes, as the first operand. */
// @ts-ignore: decorator
@inline
export function boundedBelow(x: v128): v128 {
  return f32x4.pmax(x, f32x4.splat(-88.029692));
}

/** t rounded, by adding 1.5 * 2^23, which leaves the integer in the lowest bits; 127 more, and they are an exponent's. */
// @ts-ignore: decorator
@inline
export function roundedPower(x: v128): v128 {
  return madd(x, f32x4.splat(1.4426950408889634), f32x4.splat(12583039));
}

/** r = t - n. */
// @ts-ignore: decorator
@inline
export function restOfPower(x: v128, shifted: v128): v128 {
  return madd(x, f32x4.splat(1.4426950408889634), f32x4.sub(f32x4.splat(12583039), shifted));
}

/** 2^n; 0 for n = -127. */
// @ts-ignore: decorator
@inline
export function exponentOf(shifted: v128): v128 {
  return i32x4.shl(shifted, 23);
}

/** 2^r on [-1/2, 1/2]: minimax polynomial of degree 5, exact at 0, within 9.2e-8 (fitted by Lawson's iteration), in pairs. */
// @ts-ignore: decorator
@inline
export function powerOf(r: v128): v128 {
  const square = f32x4.mul(r, r);
  let p = madd(f32x4.splat(1.3264727271e-3), r, f32x4.splat(9.6715127560e-3));
  p = madd(p, square, madd(f32x4.splat(5.5507337441e-2), r, f32x4.splat(2.4022242084e-1)));
  return madd(p, square, madd(f32x4.splat(6.9314697760e-1), r, f32x4.splat(1)));
}

// @ts-ignore: decorator
@inline
export function expOf(x: f32): f32 {
  return f32x4.extract_lane(expOf4(f32x4.splat(x)), 0);
}

/** tanh x of four numbers: relative error below 4e-7. */
// @ts-ignore: decorator
@inline
export function tanhOf4(x: v128): v128 {
  const size = f32x4.abs(x);
  // 1 - 2 / (e^(2 |x|) + 1); near 0, where that cancels, x + x^3 P(x^2) (Cephes, Moshier); from 9 on, 1 is the nearest float
  const power = expOf4(f32x4.pmin(f32x4.add(size, size), f32x4.splat(18)));
  const large = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(power, f32x4.splat(1))));
  const square = f32x4.mul(x, x);
  let p = madd(f32x4.splat(-5.70498872745e-3), square, f32x4.splat(2.06390887954e-2));
  p = madd(p, square, f32x4.splat(-5.37397155531e-2));
  p = madd(p, square, f32x4.splat(1.33314422036e-1));
  p = madd(p, square, f32x4.splat(-3.33332819422e-1));
  const small = madd(f32x4.mul(p, square), size, size);
  const result = v128.bitselect(small, large, f32x4.lt(size, f32x4.splat(0.625)));
  return v128.or(result, v128.and(x, f32x4.splat(-0.0)));
}

/** ln x of a positive normal number, within 2e-7 of max(1, |ln x|). */
export function logOf(x: f32): f32 {
  // x = 2^e m with m in [sqrt(1/2), sqrt(2))
  const shifted = reinterpret<u32>(x) - 0x3f3504f3;
  const e = <f32>(<i32>shifted >> 23);
  const m = reinterpret<f32>((shifted & 0x7fffff) + 0x3f3504f3) - 1;
  // ln(1 + m) = m - m^2 / 2 + m^3 P(m) (Cephes, Moshier)
  let p: f32 = 7.0376836292e-2;
  p = p * m - 1.1514610310e-1;
  p = p * m + 1.1676998740e-1;
  p = p * m - 1.2420140846e-1;
  p = p * m + 1.4249322787e-1;
  p = p * m - 1.6668057665e-1;
  p = p * m + 2.0000714765e-1;
  p = p * m - 2.4999993993e-1;
  p = p * m + 3.3333331174e-1;
  const square = m * m;
  const tail = p * m * square - 2.12194440e-4 * e - 0.5 * square;
  return m + tail + 0.693359375 * e;
}

// @ts-ignore: decorator
@inline
export function sumOfLanes(x: v128): f32 {
  const pairs = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.add(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

// @ts-ignore: decorator
@inline
export function maxOfLanes(x: v128): f32 {
  const pairs = f32x4.pmax(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** The lane sums of four vectors as one vector. */
// @ts-ignore: decorator
@inline
export function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}

/** The largest lane of each of four vectors as one vector. */
// @ts-ignore: decorator
@inline
export function maximaOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.pmax(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.pmax(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return f32x4.pmax(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}

/** The sums of integers. */
// @ts-ignore: decorator
@inline
export function integerSumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}
