import {eigh64} from '../../../ops/linalg/float64.js';
import {multiply64, symmetricPowers64} from '../../../ops/linalg/matrix64.js';

/** The transform of one head: see `SideTransform`. Float64. */
export interface HeadTransform {
  /** A, `[dim, dim]`. */
  readonly analysis: Float64Array;
  /** B, `[dim, dim]`. */
  readonly synthesis: Float64Array;
  /** lambda, `[dim]`, falling. */
  readonly weights: Float64Array;
}

export interface TransformOfOptions {
  /** Share of the metric that is replaced by `prior` of the same trace, 0 to 1: estimates from few tokens vary. Default 0.2. */
  readonly shrink?: number;
  /** P, `[dim, dim]`: what is known of the metric beforehand, up to a factor. Default: the identity. */
  readonly prior?: ArrayLike<number>;
}

/**
 * A channel that hardly varied in the calibration is scaled as if it had this share of the largest variance: tokens of other texts may
 * vary there, and numbers that are huge in units of a tiny deviation would take the whole scale of their token.
 */
const smallestVariance = 1e-4;

/**
 * The transform whose channels are uncorrelated and whose errors cost independently of one another. With C the covariance of the
 * tokens and F the metric, an error e of x costing `e F e^T / 2` nats,
 *
 *     F' = (1 - shrink) F + shrink tr(F) / tr(P) P      F'^(1/2) C F'^(1/2) = E diag(lambda) E^T
 *     A = F'^(1/2) E diag(lambda)^(-1/2)                B = diag(lambda)^(1/2) E^T F'^(-1/2)
 *
 * so that `A^T C A = I` and `B F' B^T = diag(lambda)`. (The Karhunen-Loeve transform in that metric.) A metric of zeros, of a head
 * that nothing reads, gives weights of 0.
 *
 * @param covariance C, `[dim, dim]`, row-major.
 * @param metric F, `[dim, dim]`.
 * @throws InvalidArgumentError if a number is not finite.
 */
export function transformOf(
  covariance: ArrayLike<number>,
  metric: ArrayLike<number>,
  dim: number,
  {shrink = 0.2, prior}: TransformOfOptions = {},
): HeadTransform {
  const trace = traceOf(metric, dim);
  const isRead = trace > 0;
  const share = prior === undefined ? (shrink * trace) / dim : (shrink * trace) / traceOf(prior, dim);
  const shrunk = Float64Array.from({length: dim * dim}, (_, at) => {
    const identity = at % (dim + 1) === 0 ? 1 : 0;
    return isRead ? (1 - shrink) * metric[at]! + share * (prior?.[at] ?? identity) : identity;
  });
  const [root, inverse] = symmetricPowers64(shrunk, dim, [0.5, -0.5]) as [Float64Array, Float64Array];
  const middle = multiply64(multiply64(root, covariance, dim, dim, dim), root, dim, dim, dim);
  const {values, vectors} = eigh64(middle, dim);
  const least = values[0]! > 0 ? smallestVariance * values[0]! : 1; // of a head that never varies, any scale will do
  const scales = values.map(value => Math.sqrt(Math.max(value, least)));
  const rows = multiply64(vectors, root, dim, dim, dim); // E^T F^(1/2)
  const analysis = new Float64Array(dim * dim);
  const synthesis = multiply64(vectors, inverse, dim, dim, dim);
  for (let channel = 0; channel < dim; channel++) {
    for (let i = 0; i < dim; i++) {
      analysis[i * dim + channel] = rows[channel * dim + i]! / scales[channel]!;
      synthesis[channel * dim + i]! *= scales[channel]!;
    }
  }
  return {analysis, synthesis, weights: values.map(value => (isRead ? Math.max(value, 0) : 0))};
}

function traceOf(matrix: ArrayLike<number>, dim: number): number {
  let trace = 0;
  for (let i = 0; i < dim; i++) trace += matrix[i * dim + i]!;
  return trace;
}
