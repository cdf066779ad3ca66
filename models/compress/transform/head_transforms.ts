import {
  type HeadTransform,
  type TransformOfOptions,
  transformOf,
} from '../../../cache/codecs/transform_profile/transform_of.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {
  type DepthTransformStatistics,
  type KeyMoments,
  keyMoments,
  partOf,
  valueCovariance,
} from './statistics.js';

/** The transform of one head's keys, with their means. */
export function keyTransform(
  depth: DepthTransformStatistics,
  rope: RopeConfig | undefined,
  gradientTokens: number,
  head: number,
  options?: TransformOfOptions,
): HeadTransform & Omit<KeyMoments, 'covariance'> {
  const {covariance, ...means} = keyMoments(depth, rope, head);
  const metric = metricOf(depth, 'keyMetrics', gradientTokens, head);
  return {...means, ...transformOf(covariance, metric, depth.dim, options)};
}

/** The transform of one head's values, whose mean is 0. */
export function valueTransform(
  depth: DepthTransformStatistics,
  gradientTokens: number,
  head: number,
  options?: TransformOfOptions,
): HeadTransform {
  return transformOf(
    valueCovariance(depth, head),
    metricOf(depth, 'valueMetrics', gradientTokens, head),
    depth.dim,
    options,
  );
}

function metricOf(
  {kvHeads, sums}: DepthTransformStatistics,
  name: 'keyMetrics' | 'valueMetrics',
  gradientTokens: number,
  head: number,
): Float64Array {
  return partOf(sums[name], head, kvHeads).map(sum => sum / Math.max(gradientTokens, 1));
}
