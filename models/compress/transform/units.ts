import * as tf from '@tensorflow/tfjs';
import type {SeenTokens} from '../../../cache/watch/watched_cache.js';
import {rotate} from '../../../ops/rotate/index.js';
import {keyTransform, valueTransform} from './head_transforms.js';
import {type TransformStatistics, keyMoments, valueCovariance} from './statistics.js';

/** Means and variances of one depth. */
export type DepthUnits = {
  /** `[1, kvHeads, 1, dim]` */
  readonly rotatedMean?: tf.Tensor4D;
  /** `[1, kvHeads, 1, dim]` */
  readonly mean: tf.Tensor4D;
  /** `[1, kvHeads, 1, dim]` */
  readonly keyVariances: tf.Tensor4D;
  /** `[1, kvHeads, 1, 1]`: the mean over channels. */
  readonly valueVariance: tf.Tensor4D;
};

/** By depth. */
export function unitsOf({depths, rope}: TransformStatistics): DepthUnits[] {
  return depths.map(depth => {
    const {kvHeads, dim} = depth;
    const heads = Array.from({length: kvHeads}, (_, head) => {
      const variances = diagonalOf(valueCovariance(depth, head), dim);
      return {
        ...keyMoments(depth, rope, head),
        valueVariance: variances.reduce((sum, x) => sum + x / dim, 0),
      };
    });
    const tensor = (of: (head: (typeof heads)[number]) => ArrayLike<number>): tf.Tensor4D =>
      tf.tensor4d(
        heads.flatMap(head => Array.from(of(head))),
        [1, kvHeads, 1, of(heads[0]!).length],
      );
    return {
      ...(rope && {rotatedMean: tensor(({rotatedMean}) => rotatedMean!)}),
      mean: tensor(({mean}) => mean),
      keyVariances: tensor(({covariance}) => diagonalOf(covariance, dim).map(x => Math.max(x, 0))),
      valueVariance: tensor(({valueVariance}) => [valueVariance]),
    };
  });
}

/** A of each side, `[kvHeads, dim, dim]`, by depth. */
export function encodersOf({depths, rope, gradientTokens}: TransformStatistics) {
  return depths.map(depth => {
    const {kvHeads, dim} = depth;
    const tensor = (of: (head: number) => Float64Array): tf.Tensor3D =>
      tf.tensor3d(Array.from({length: kvHeads}, (_, head) => [...of(head)]).flat(), [kvHeads, dim, dim]);
    return {
      keys: tensor(head => keyTransform(depth, rope, gradientTokens, head).analysis),
      values: tensor(head => valueTransform(depth, gradientTokens, head).analysis),
    };
  });
}

/** x = R_p (k - mu_0) - M, or k - M in models without rotary positions. */
export function centredKeys(
  {keys, rotation}: Pick<SeenTokens, 'keys' | 'rotation'>,
  {rotatedMean, mean}: Pick<DepthUnits, 'rotatedMean' | 'mean'>,
): tf.Tensor4D {
  if (rotation === undefined || rotatedMean === undefined) return tf.sub(keys, mean);
  return tf.sub(rotate(tf.sub(keys, rotatedMean), rotation), mean);
}

const diagonalOf = (matrix: Float64Array, dim: number) => matrix.filter((_, at) => at % (dim + 1) === 0);
