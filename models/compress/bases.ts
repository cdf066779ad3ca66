import {InvalidArgumentError} from '../../base/errors.js';
import {eigh64} from '../../ops/linalg/float64.js';
import {multiply64, symmetricPowers64, transpose64} from '../../ops/linalg/matrix64.js';

/**
 * How directions are chosen, for keys and for values:
 *
 * - `svd`: the least error of the features themselves: the top eigenvectors of C.
 * - `eigen`: Eigen Attention (Saxena et al., 2024, arXiv 2408.05646): for keys the top eigenvectors of C_K + C_Q, keys and
 *   queries stacked; for values the same as `svd`.
 * - `kqSvd`: the least error of what attention computes (KQ-SVD, 2025, arXiv 2512.05916): of the scores K Q^T for keys, of the
 *   output V W_O for values.
 * - `fisher`: the same metric computed from gradients of the loss, so the least divergence of the model's predictions to second
 *   order: see `watchGradients`.
 */
export type BasisMethod = 'svd' | 'eigen' | 'kqSvd' | 'fisher';

export const basisMethods: readonly BasisMethod[] = ['svd', 'eigen', 'kqSvd', 'fisher'];

/**
 * All directions of one key head, the most important first; the first r are its basis of rank r. A row vector x has the latents
 * `z_i = x . encode_i`, and `x ~ sum_i z_i decode_i`, exact at full rank.
 */
export interface OrderedBasis {
  readonly dim: number;
  /** `[dim, dim]`, row-major: row i is encode_i. */
  readonly encode: Float64Array;
  /** `[dim, dim]`, row-major: row i is decode_i. */
  readonly decode: Float64Array;
  /**
   * The predicted squared error for each rank 0 .. dim: `||X E^T D Y^T - X Y^T||_F^2` with the first r rows E of `encode` and D of
   * `decode`, where C = X^T X is the Gram matrix of the features and M = Y^T Y the metric.
   */
  readonly errors: Float64Array;
  /** The predicted divergence for each rank, in nats per token; only if gradients are known. */
  readonly costs?: Float64Array;
}

export interface BasisOptions {
  /** Added to the eigenvalues of the metric before it is inverted, as a share of their mean. Default 1e-3. */
  readonly ridge?: number;
  /** The Gram matrix of the loss' gradients, scaled so that errors are in nats per token. `fisher` needs it. */
  readonly gradients?: ArrayLike<number>;
  /** Weight of the metric beside the gradients in `fisher`, both scaled to trace 1: gradients of few tokens are noisy. Default 0.3. */
  readonly metricShare?: number;
}

const defaultRidge = 1e-3;

/**
 * Measured on SmolLM2 with gradients of 2,048 tokens, at 0.6 and 0.4 of the cache: a divergence of 0.235 and 0.63 with 0, of 0.204
 * and 0.55 with 0.3, of 0.207 and 0.55 with 1.
 */
const defaultMetricShare = 0.3;

/**
 * Directions for features X of which X Y^T is used, from the Gram matrices C = X^T X and M = Y^T Y (row-major, `[dim, dim]`). With
 * `kqSvd` and W the eigenvectors of M^(1/2) C M^(1/2), as rows,
 *
 *     encode = W M^(1/2)       decode = W M^(-1/2)
 *
 * and the squared error of rank r is `sum_{i > r} sigma_i^2(X Y^T)`, the least possible (Eckart and Young, 1936), exactly if `ridge`
 * is 0. `fisher` has the Gram matrix of the gradients for M, plus a share of the metric. The other methods have orthonormal
 * directions, the same ones in `encode` and `decode`.
 *
 * @param joined the matrix whose eigenvectors `eigen` takes. Default C: the same as `svd`.
 * @throws InvalidArgumentError if a matrix is not finite, or `fisher` has no gradients.
 */
export function orderedBasis(
  method: BasisMethod,
  features: ArrayLike<number>,
  metric: ArrayLike<number>,
  dim: number,
  {
    ridge = defaultRidge,
    gradients,
    metricShare = defaultMetricShare,
    joined = features,
  }: BasisOptions & {readonly joined?: ArrayLike<number>} = {},
): OrderedBasis {
  const weighting = method === 'fisher' ? gradients && blended(gradients, metric, dim, metricShare) : metric;
  if (weighting === undefined) {
    throw new InvalidArgumentError(
      'The method "fisher" needs gradients, and the calibration has none; calibrate with gradientTokens (--gradients 2048).',
    );
  }
  const [encode, decode] =
    method === 'kqSvd' || method === 'fisher'
      ? optimalDirections(features, weighting, dim, ridge)
      : orthonormalDirections(method === 'svd' ? features : joined, dim);
  const errorsFor = (what: ArrayLike<number>) => predictedErrors(features, what, encode, decode, dim);
  return {dim, encode, decode, errors: errorsFor(metric), costs: gradients && errorsFor(gradients)};
}

/**
 * Directions for the keys of one key head.
 *
 * @param keys C_K = K^T K.
 * @param queries C_Q: the sum over the group's query heads of Q_j^T Q_j.
 * @param metric M of the scores. Default: `queries`. If keys are stored before their rotation, it is the average over rotated
 *   queries: see `rotatedMetric`.
 */
export function keyBasis(
  method: BasisMethod,
  {
    keys,
    queries,
    metric = queries,
  }: {
    readonly keys: ArrayLike<number>;
    readonly queries: ArrayLike<number>;
    readonly metric?: ArrayLike<number>;
  },
  dim: number,
  options: BasisOptions = {},
): OrderedBasis {
  const joined = Float64Array.from(keys, (number, i) => number + queries[i]!);
  return orderedBasis(method, keys, metric, dim, {...options, joined});
}

/** a / tr(a) + share b / tr(b); a matrix of zeros adds nothing. */
function blended(a: ArrayLike<number>, b: ArrayLike<number>, dim: number, share: number): Float64Array {
  const perTrace = (matrix: ArrayLike<number>) => {
    const trace = traceOf(matrix, dim);
    return trace > 0 ? 1 / trace : 0;
  };
  const [ofA, ofB] = [perTrace(a), share * perTrace(b)];
  return Float64Array.from({length: dim * dim}, (_, i) => ofA * a[i]! + ofB * b[i]!);
}

function traceOf(matrix: ArrayLike<number>, dim: number): number {
  let trace = 0;
  for (let i = 0; i < dim; i++) trace += matrix[i * dim + i]!;
  return trace;
}

function orthonormalDirections(matrix: ArrayLike<number>, dim: number): [Float64Array, Float64Array] {
  const {vectors} = eigh64(matrix, dim);
  return [vectors, vectors];
}

function optimalDirections(
  features: ArrayLike<number>,
  metric: ArrayLike<number>,
  dim: number,
  ridge: number,
): [Float64Array, Float64Array] {
  if (!(ridge >= 0 && Number.isFinite(ridge))) {
    throw new InvalidArgumentError(`ridge = ${ridge}; expected a number >= 0, such as 1e-3.`);
  }
  const trace = traceOf(metric, dim);
  // a metric of zeros: any directions do
  const shift = trace > 0 ? (ridge * trace) / dim : 1;
  const [root, inverse] = symmetricPowers64(metric, dim, [0.5, -0.5], shift) as [Float64Array, Float64Array];
  const middle = multiply64(multiply64(root, features, dim, dim, dim), root, dim, dim, dim);
  const {vectors} = eigh64(middle, dim);
  return balanced(multiply64(vectors, root, dim, dim, dim), multiply64(vectors, inverse, dim, dim, dim));
}

/**
 * The same directions with latents in another unit, so that both matrices have one norm: the unit of a metric is arbitrary, and Adam,
 * whose steps have one size for all weights, would spoil the smaller matrix.
 */
function balanced(encode: Float64Array, decode: Float64Array): [Float64Array, Float64Array] {
  const squares = (matrix: Float64Array) => matrix.reduce((sum, x) => sum + x * x, 0);
  const unit = (squares(decode) / squares(encode)) ** 0.25;
  return [encode.map(x => x * unit), decode.map(x => x / unit)];
}

/**
 * With E and D the directions beyond r, what rank r loses is E^T D, so the squared error is
 * tr(D^T E C E^T D M) = sum_ij (E C E^T)_ij (D M D^T)_ij over i, j > r: sums from the last corner of one matrix.
 */
function predictedErrors(
  features: ArrayLike<number>,
  metric: ArrayLike<number>,
  encode: Float64Array,
  decode: Float64Array,
  dim: number,
): Float64Array {
  const inBasis = (basis: Float64Array, gram: ArrayLike<number>) =>
    multiply64(multiply64(basis, gram, dim, dim, dim), transpose64(basis, dim, dim), dim, dim, dim);
  const [a, b] = [inBasis(encode, features), inBasis(decode, metric)];
  const errors = new Float64Array(dim + 1);
  for (let r = dim - 1; r >= 0; r--) {
    let sum = a[r * dim + r]! * b[r * dim + r]!;
    for (let j = r + 1; j < dim; j++) {
      sum += a[r * dim + j]! * b[r * dim + j]! + a[j * dim + r]! * b[j * dim + r]!;
    }
    errors[r] = Math.max(errors[r + 1]! + sum, 0); // rounding may make it negative
  }
  return errors;
}
