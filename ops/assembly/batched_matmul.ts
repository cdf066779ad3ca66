import {multiplyMatrices, productScratch} from './matrix_product';

/** Bytes of scratch memory. */
export function batchedMatMulScratch(m: i32, k: i32, n: i32, transposeA: i32, transposeB: i32): usize {
  return productScratch(m, k, n, transposeA, transposeB);
}

/** out = A B for each of `count` pairs of matrices: see `multiplyMatrices`. */
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
  for (let pair = 0; pair < count; pair++) {
    multiplyMatrices(a, transposeA, b, transposeB, out, scratch, m, k, n);
    a += (<usize>(m * k)) << 2;
    b += (<usize>(k * n)) << 2;
    out += (<usize>(m * n)) << 2;
  }
}
