import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {tensorShown} from '../tensor_shown.js';
import {isFloatMatrix} from './scoring.js';

export interface RelativeBuckets {
  /** The distance from which on all tokens are in the last bucket: `relative_attention_max_distance` of T5. Default 128. */
  readonly maxDistance?: number;
}

const schema = v.strictObject({maxDistance: v.optional(atLeast(2), 128)});

/**
 * The biases of all distances from a table of biases by bucket, as T5's decoder has one (Raffel et al., 2020, arXiv 1910.10683): what
 * `ScoringOptions.relativeBias` takes. Of b buckets the first m = floor(b / 2) have a distance d each, and the others ranges that grow by a factor:
 *
 *     bucket(d) = d                                                                   for d < m
 *                 min(b - 1, m + floor(ln(d / m) / ln(maxDistance / m) (b - m)))      else, in float32 as the models do
 *     relativeBias[h, d] = table[bucket(d), h]
 *
 * up to the first distance of the last bucket, which stands for all greater ones. Differentiable on all backends.
 *
 * @param table float32 `[buckets, heads]`: `relative_attention_bias.weight` of the first decoder layer, whose biases all layers have.
 * @returns float32 `[heads, distances]`.
 * @throws InvalidArgumentError if the table is no such tensor of 2 buckets or more, or if maxDistance is not above half of the buckets.
 */
export function relativeBiasOfBuckets(table: tf.Tensor2D, options: RelativeBuckets = {}): tf.Tensor2D {
  const {maxDistance} = checkOptions('relativeBiasOfBuckets', schema, options);
  if (!isFloatMatrix(table) || table.shape[0] < 2) {
    throw new InvalidArgumentError(
      `relativeBiasOfBuckets got ${tensorShown(table)}; expected a float32 tensor [buckets, heads], of 2 buckets or more.`,
    );
  }
  const [buckets] = table.shape;
  if (maxDistance <= Math.floor(buckets / 2)) {
    throw new InvalidArgumentError(
      `relativeBiasOfBuckets: maxDistance = ${maxDistance} for ${buckets} buckets; expected more than half of the buckets, which have a distance each.`,
    );
  }
  const ofDistances = bucketsOfDistances(buckets, maxDistance);
  return tf.tidy(() => {
    // a product, whose gradient all backends have: that of tf.gather they have not
    const isIn = tf.oneHot(tf.tensor1d(ofDistances, 'int32'), buckets);
    return tf.matMul<tf.Tensor2D>(table, tf.cast(isIn, 'float32'), true, true);
  });
}

/** The bucket of each distance from 0 on, up to the first one of the last bucket. */
function bucketsOfDistances(buckets: number, maxDistance: number): number[] {
  const exact = Math.floor(buckets / 2);
  const range = Math.fround(Math.log(maxDistance / exact));
  const bucketOf = (distance: number) => {
    if (distance < exact) return distance;
    const share = Math.fround(Math.fround(Math.log(Math.fround(distance / exact))) / range);
    return Math.min(buckets - 1, exact + Math.floor(Math.fround(share * (buckets - exact))));
  };
  const found: number[] = [];
  while (found.at(-1) !== buckets - 1) found.push(bucketOf(found.length));
  return found;
}
