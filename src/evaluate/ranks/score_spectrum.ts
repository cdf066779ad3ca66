import {eigh64} from '../../../ops/linalg/float64.js';
import {multiply64, symmetricPowers64} from '../../../ops/linalg/matrix64.js';

/**
 * Returns the squared singular values of the scores K Q^T of all keys with all queries, without computing that matrix:
 *
 *     sigma_i^2(K Q^T) = eigenvalue i of C_Q^{1/2} C_K C_Q^{1/2}        C_K = K^T K, C_Q = Q^T Q
 *
 * The sum of those after rank r is the least squared error of the scores for keys of rank r (KQ-SVD, arXiv 2512.05916).
 *
 * @param keys, queries Gram matrices `[dim, dim]`, row-major.
 * @returns `dim` numbers, descending; values that rounding made negative become 0.
 */
export function scoreSquares(keys: ArrayLike<number>, queries: ArrayLike<number>, dim: number): Float64Array {
  const [root = new Float64Array(0)] = symmetricPowers64(queries, dim, [0.5]);
  const product = multiply64(multiply64(root, keys, dim, dim, dim), root, dim, dim, dim);
  return eigh64(product, dim).values.map(value => Math.max(value, 0));
}
