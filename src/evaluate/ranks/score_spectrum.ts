import {eigh64} from '../../../ops/linalg/float64.js';

/**
 * The squared singular values of the scores K Q^T of all keys with all queries, without that matrix:
 *
 *     sigma_i^2(K Q^T) = eigenvalue i of C_Q^{1/2} C_K C_Q^{1/2}        C_K = K^T K, C_Q = Q^T Q
 *
 * The rest of them behind rank r is the least squared error of scores by keys of rank r (KQ-SVD, arXiv 2512.05916).
 *
 * @param keys, queries Gram matrices `[dim, dim]`, row-major.
 * @returns `dim` numbers, descending; those that rounding made negative are 0.
 */
export function scoreSquares(keys: ArrayLike<number>, queries: ArrayLike<number>, dim: number): Float64Array {
  const root = squareRoot(queries, dim);
  const product = multiply(multiply(root, Float64Array.from(keys), dim), root, dim);
  return eigh64(product, dim).values.map(value => Math.max(value, 0));
}

/** The symmetric square root V diag(sqrt(values)) V^T. */
function squareRoot(matrix: ArrayLike<number>, dim: number): Float64Array {
  const {values, vectors} = eigh64(matrix, dim);
  const root = new Float64Array(dim * dim);
  for (let k = 0; k < dim; k++) {
    const factor = Math.sqrt(Math.max(values[k]!, 0));
    for (let i = 0; i < dim; i++) {
      const scaled = factor * vectors[k * dim + i]!;
      for (let j = 0; j < dim; j++) root[i * dim + j]! += scaled * vectors[k * dim + j]!;
    }
  }
  return root;
}

function multiply(a: Float64Array, b: Float64Array, dim: number): Float64Array {
  const product = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    for (let k = 0; k < dim; k++) {
      const factor = a[i * dim + k]!;
      for (let j = 0; j < dim; j++) product[i * dim + j]! += factor * b[k * dim + j]!;
    }
  }
  return product;
}
