import {multiplyMatrices, productScratch} from './matrix_product';

/** Bytes of scratch memory. */
export function batchedMatMulScratch(k: i32, n: i32): usize {
  return productScratch(k, n);
}

/**
 * out = A B for each of `count` pairs of matrices. A is [m, k], or [k, m] if transposeA; B is [k, n], or [n, k] if transposeB; out
 * [m, n].
 */
export function batchedMatMul(
  a: usize,
  b: usize,
  out: usize,
  scratch: usize,
  count: i32,
  m: i32,
  k: i32,
  n: i32,
  transposeA: i32,
  transposeB: i32,
): void {
  const rowStride: i32 = transposeA ? 1 : k;
  const innerStride: i32 = transposeA ? m : 1;
  for (let pair = 0; pair < count; pair++) {
    multiplyMatrices(a, <usize>rowStride << 2, <usize>innerStride << 2, b, transposeB, out, scratch, m, k, n);
    a += (<usize>(m * k)) << 2;
    b += (<usize>(k * n)) << 2;
    out += (<usize>(m * n)) << 2;
  }
}
