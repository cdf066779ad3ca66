import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {phaseCount, rotationOfVector} from './phases.js';

/**
 * What the transforms of one depth are computed from: sums over tokens, float64, row-major. Keys are k' = k - origin, which is near
 * their mean, so that sums do not lose their digits to it. With phi_p the phases of position p (cosines, sines and a 1), the rotation of
 * a fixed vector d is linear in them, `R_p d = N(d) phi_p`, so a mean can be subtracted before the rotation afterwards.
 */
export interface DepthTransformStatistics {
  readonly kvHeads: number;
  readonly dim: number;
  /** `[kvHeads, dim]`; not a sum. */
  readonly origin: Float64Array;
  /** `[kvHeads, dim, dim]`, of the weights alone: see `outputMetric`. */
  readonly outputMetrics: Float64Array;
  readonly sums: Readonly<Record<TransformSum, Float64Array>>;
}

/** Statistics of a whole model: see `TransformProfile`. */
export interface TransformStatistics {
  /** Tokens in the sums of features. */
  readonly tokens: number;
  /** Tokens in the sums of metrics. */
  readonly gradientTokens: number;
  /** Tokens in the sums of scales. */
  readonly scaleTokens: number;
  /** Absent if the model has no rotary positions. */
  readonly rope?: RopeConfig;
  readonly depths: readonly DepthTransformStatistics[];
}

/** The sums and their shapes. */
export const transformSums = {
  /** k' */
  keys: ['kvHeads', 'dim'],
  /** (R_p k')^T (R_p k') */
  keyGrams: ['kvHeads', 'dim', 'dim'],
  /** (R_p k')^T phi_p */
  keyPhases: ['kvHeads', 'dim', 'phases'],
  /** phi_p^T phi_p; its last number is that of tokens */
  phaseGrams: ['phases', 'phases'],
  /** v^T v */
  valueGrams: ['kvHeads', 'dim', 'dim'],
  /**
   * s^2 g^T g: g is the gradient by a rotated key through queries of later steps, s^2 the token's mean squared deviation from the mean,
   * in units of the variances.
   */
  keyMetrics: ['kvHeads', 'dim', 'dim'],
  /** The same for values, whose deviation is from 0. */
  valueMetrics: ['kvHeads', 'dim', 'dim'],
  /** log2 of a key's scale, and its square: see `TokenScales`. */
  keyScales: ['kvHeads', 'two'],
  /** The same for values. */
  valueScales: ['kvHeads', 'two'],
} as const;
export type TransformSum = keyof typeof transformSums;

/** Sums of zeros have this many numbers on each axis. */
export function sumShape(
  name: TransformSum,
  {
    kvHeads,
    dim,
    rope,
  }: {readonly kvHeads: number; readonly dim: number; readonly rope: RopeConfig | undefined},
): number[] {
  const sizes = {kvHeads, dim, phases: phaseCount(rope, dim), two: 2};
  return transformSums[name].map(axis => sizes[axis]);
}

/** The means and covariances of one head's keys, as they are encoded. */
export interface KeyMoments {
  /** mu_0; only if the model has rotary positions. */
  readonly rotatedMean?: Float64Array;
  /** M, the mean of x = R_p (k - mu_0). */
  readonly mean: Float64Array;
  /** C, the covariance of x, `[dim, dim]`. */
  readonly covariance: Float64Array;
}

/**
 * With d = mean of k', y = R_p k' and n tokens,
 *
 *     mu_0 = origin + d        x = y - N(d) phi        M = (sum y - N(d) sum phi) / n
 *     C = (sum y y^T - P N^T - N P^T + N Phi N^T) / n - M M^T        P = sum y phi^T,  Phi = sum phi phi^T
 */
export function keyMoments(
  {kvHeads, dim, origin, sums}: DepthTransformStatistics,
  rope: RopeConfig | undefined,
  head: number,
): KeyMoments {
  const tokens = sums.phaseGrams.at(-1)!;
  const part = (of: Float64Array) => partOf(of, head, kvHeads);
  const shift = part(sums.keys).map(sum => -sum / tokens);
  const {grams, phases} = shifted(
    {grams: part(sums.keyGrams), phases: part(sums.keyPhases), phaseGrams: sums.phaseGrams},
    rotationOfVector(shift, rope),
    dim,
  );
  const width = phases.length / dim;
  const mean = Float64Array.from({length: dim}, (_, i) => phases[i * width + width - 1]! / tokens);
  const covariance = grams.map((sum, at) => sum / tokens - mean[Math.floor(at / dim)]! * mean[at % dim]!);
  const center = part(origin).map((x, i) => x - shift[i]!);
  return rope === undefined
    ? {mean: center, covariance} // `mean` is 0 there but for rounding
    : {rotatedMean: center, mean, covariance};
}

/** E[v^T v] of one head, `[dim, dim]`: values have no mean subtracted, which would make errors of short ones large. */
export function valueCovariance({kvHeads, sums}: DepthTransformStatistics, head: number): Float64Array {
  const tokens = sums.phaseGrams.at(-1)!;
  return partOf(sums.valueGrams, head, kvHeads).map(sum => sum / tokens);
}

/** The numbers of one head. */
export function partOf(numbers: Float64Array, head: number, kvHeads: number): Float64Array {
  const size = numbers.length / kvHeads;
  return numbers.slice(head * size, (head + 1) * size);
}

/** The statistics of two sets of tokens of one model together. */
export function mergedTransforms(a: TransformStatistics, b: TransformStatistics): TransformStatistics {
  return {
    tokens: a.tokens + b.tokens,
    gradientTokens: a.gradientTokens + b.gradientTokens,
    scaleTokens: a.scaleTokens + b.scaleTokens,
    ...(a.rope && {rope: a.rope}),
    depths: a.depths.map((depth, i) => mergedDepths(depth, b.depths[i]!, a.rope)),
  };
}

function mergedDepths(
  a: DepthTransformStatistics,
  b: DepthTransformStatistics,
  rope: RopeConfig | undefined,
): DepthTransformStatistics {
  const other = withOrigin(b, a.origin, rope);
  const sums = {...a.sums};
  for (const name of Object.keys(transformSums) as TransformSum[]) {
    sums[name] = a.sums[name].map((sum, i) => sum + other.sums[name][i]!);
  }
  return {...a, sums};
}

/** The same statistics relative to another origin: k - origin = k' + shift. */
function withOrigin(
  depth: DepthTransformStatistics,
  origin: Float64Array,
  rope: RopeConfig | undefined,
): DepthTransformStatistics {
  const {kvHeads, dim, sums} = depth;
  const tokens = sums.phaseGrams.at(-1)!;
  const shift = depth.origin.map((x, i) => x - origin[i]!);
  const heads = Array.from({length: kvHeads}, (_, head) => {
    const part = (of: Float64Array) => partOf(of, head, kvHeads);
    const moved = {grams: part(sums.keyGrams), phases: part(sums.keyPhases), phaseGrams: sums.phaseGrams};
    return shifted(moved, rotationOfVector(part(shift), rope), dim);
  });
  const joined = (parts: readonly Float64Array[]) => Float64Array.from(parts.flatMap(part => [...part]));
  return {
    ...{...depth, origin},
    sums: {
      ...sums,
      keys: sums.keys.map((sum, i) => sum + tokens * shift[i]!),
      keyGrams: joined(heads.map(({grams}) => grams)),
      keyPhases: joined(heads.map(({phases}) => phases)),
    },
  };
}

/** Sums over y as sums over y + N phi. */
function shifted(
  {grams, phases, phaseGrams}: {grams: Float64Array; phases: Float64Array; phaseGrams: Float64Array},
  rotation: Float64Array,
  dim: number,
): {grams: Float64Array; phases: Float64Array} {
  const width = phases.length / dim;
  const added = multiply64(rotation, phaseGrams, dim, width, width); // N Phi
  const transposed = transpose64(rotation, dim, width);
  const cross = multiply64(phases, transposed, dim, width, dim); // P N^T
  const square = multiply64(added, transposed, dim, width, dim);
  const flipped = transpose64(cross, dim, dim);
  return {
    grams: grams.map((sum, i) => sum + cross[i]! + flipped[i]! + square[i]!),
    phases: phases.map((sum, i) => sum + added[i]!),
  };
}
