import {InvalidArgumentError} from '../../base/errors.js';
import type {RopeMode} from '../../layers/index.js';
import type {DenseAttention, DenseWeights} from '../adapters/index.js';
import {type BasisMethod, type OrderedBasis, keyBasis, orderedBasis} from './bases.js';
import {type DistanceWeights, rotatedMetric} from './rotated_metric.js';
import type {Calibration} from './calibrate.js';
import {outputMetric} from './output_metric.js';
import type {DepthStatistics} from './statistics.js';

/** Options that bases depend on: see `CompressOptions`. */
export interface BasesOptions {
  readonly keyMethod: BasisMethod;
  readonly valueMethod: BasisMethod;
  readonly ropeMode: RopeMode;
  readonly distances: DistanceWeights;
  readonly center: boolean;
  readonly ridge: number;
}

/** The bases of one depth, one per key head, and the errors that they predict. */
export interface DepthBases {
  readonly keys: readonly OrderedBasis[];
  readonly values: readonly OrderedBasis[];
  /** Subtracted means, one per key head; only with `center`. */
  readonly keyMeans?: readonly Float64Array[];
  readonly valueMeans?: readonly Float64Array[];
}

/**
 * The bases of a depth, from a calibration and the output projection. The metric of keys is that of the queries; the metric of values
 * is the sum over the group's heads of W_O,j W_O,j^T.
 *
 * @throws InvalidArgumentError if the calibration lacks what the options need.
 */
export function depthBases(
  {depths, tokens, gradients}: Pick<Calibration, 'depths' | 'tokens' | 'gradients'>,
  depth: number,
  attention: DenseAttention,
  weights: DenseWeights,
  options: BasesOptions,
): DepthBases {
  const {kvHeads, headDim: dim, rope} = attention;
  const {keyMethod, valueMethod, ropeMode, ridge, center} = options;
  const statistics: DepthStatistics = depths[depth]!;
  const isRotated = rope !== undefined && ropeMode === 'after';
  const [queries, keys, sums] = isRotated
    ? [statistics.grams.rotatedQueries, statistics.grams.rotatedKeys, statistics.sums.rotatedKeys]
    : [statistics.grams.queries, statistics.grams.keys, statistics.sums.keys];
  const {values} = statistics.grams;
  if (queries === undefined || keys === undefined || values === undefined) {
    throw new InvalidArgumentError(
      `The calibration has no ${isRotated ? 'rotated keys; use ropeMode "before", or calibrate again' : 'keys and values; calibrate again'}.`,
    );
  }
  const meansOf = (side: Float64Array | undefined) =>
    center && side !== undefined
      ? Array.from({length: kvHeads}, (_, head) => ofHead(side, head, dim).map(sum => sum / tokens))
      : undefined;
  const [keyMeans, valueMeans] = [meansOf(sums), meansOf(statistics.sums.values)];
  const metricOf = rope !== undefined && !isRotated ? rotatedMetric(rope, dim, options.distances) : undefined;
  const gram = (side: Float64Array, head: number, means: Float64Array[] | undefined) =>
    centred(ofHead(side, head, dim * dim), means?.[head], tokens);
  const ofGradients = (side: 'keys' | 'values' | 'rotatedKeys', head: number) => {
    const all = gradients?.depths[depth]!.grams[side];
    // both Gram matrices are sums over tokens; half the product of their means is nats per token
    const share = 1 / (2 * tokens * (gradients?.tokens ?? 1));
    return all && {gradients: ofHead(all, head, dim * dim).map(x => x * share)};
  };
  const everyHead = <T>(make: (head: number) => T) => Array.from({length: kvHeads}, (_, head) => make(head));
  return {
    keys: everyHead(head => {
      const ofQueries = ofHead(queries, head, dim * dim);
      const metric = metricOf?.(ofQueries);
      const grams = {keys: gram(keys, head, keyMeans), queries: ofQueries, metric};
      return keyBasis(keyMethod, grams, dim, {
        ridge,
        ...ofGradients(isRotated ? 'rotatedKeys' : 'keys', head),
      });
    }),
    values: everyHead(head =>
      orderedBasis(valueMethod, gram(values, head, valueMeans), outputMetric(weights, attention, head), dim, {
        ridge,
        ...ofGradients('values', head),
      }),
    ),
    keyMeans,
    valueMeans,
  };
}

function ofHead(numbers: Float64Array, head: number, size: number): Float64Array {
  return numbers.slice(head * size, (head + 1) * size);
}

/** sum (x - mean)^T (x - mean) = sum x^T x - tokens mean^T mean */
function centred(gram: Float64Array, mean: Float64Array | undefined, tokens: number): Float64Array {
  if (mean === undefined) return gram;
  const dim = mean.length;
  return gram.map((x, at) => x - tokens * mean[Math.floor(at / dim)]! * mean[at % dim]!);
}
