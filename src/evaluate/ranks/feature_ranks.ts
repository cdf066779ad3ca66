import {eigh64} from '../../../ops/linalg/float64.js';
import {effectiveRank, stableRank} from '../../../ops/linalg/ranks.js';
import {type FeatureGrams, type GramSide} from '../../../cache/watch/feature_grams.js';
import {scoreSquares} from './score_spectrum.js';

/** Features of a cache: one side of it, or the scores K Q^T of its keys with its queries, before or after the rotation. */
export type Feature = GramSide | 'scores' | 'rotatedScores';

/** Ranks of the features of one key head. */
export interface FeatureRank {
  readonly depth: number;
  readonly kvHead: number;
  readonly feature: Feature;
  /** The head's dim, the largest possible rank. */
  readonly dim: number;
  /** The fewest dimensions that hold the given share of the energy sum_i s_i^2. */
  readonly effectiveRank: number;
  /** sum_i s_i^2 / max_i s_i^2 */
  readonly stableRank: number;
  /** Singular values of the matrix of all tokens seen, descending. */
  readonly singularValues: readonly number[];
}

/** The sides that each feature is computed from. */
const sources: Readonly<Record<Feature, readonly [GramSide, GramSide?]>> = {
  queries: ['queries'],
  keys: ['keys'],
  values: ['values'],
  rotatedQueries: ['rotatedQueries'],
  rotatedKeys: ['rotatedKeys'],
  scores: ['keys', 'queries'],
  rotatedScores: ['rotatedKeys', 'rotatedQueries'],
};

/** All features in the order of reports. Rotated queries are not reported separately. */
const reportedFeatures: readonly Feature[] = [
  'keys',
  'rotatedKeys',
  'values',
  'queries',
  'scores',
  'rotatedScores',
];

/**
 * Computes the ranks of features from their Gram matrices, by depth, feature and head. Features whose sides were not watched, or do not
 * exist in models without rotary positions, are left out.
 *
 * @param energy share of the sum of squared singular values that the effective rank keeps, in (0, 1]. Default 0.99.
 */
export async function featureRanks(
  grams: FeatureGrams,
  features: readonly Feature[] = reportedFeatures,
  energy = 0.99,
): Promise<FeatureRank[]> {
  const ranks: FeatureRank[] = [];
  for (let depth = 0; depth < grams.depths; depth++) {
    for (const feature of features) {
      const [first, second] = sources[feature];
      const sides = await Promise.all([first, second ?? first].map(side => grams.read(depth, side)));
      const [keys, queries] = sides;
      if (keys === undefined || queries === undefined) continue;
      for (const [kvHead, gram] of keys.entries()) {
        const dim = Math.sqrt(gram.length);
        const squares =
          second === undefined ? gramSquares(gram, dim) : scoreSquares(gram, queries[kvHead]!, dim);
        const singularValues = Array.from(squares, Math.sqrt);
        ranks.push({
          depth,
          kvHead,
          feature,
          dim,
          effectiveRank: effectiveRank(singularValues, energy),
          stableRank: stableRank(singularValues),
          singularValues,
        });
      }
    }
  }
  return ranks;
}

/** Squared singular values of X from X^T X; values that rounding made negative become 0. */
function gramSquares(gram: Float32Array, dim: number): Float64Array {
  return eigh64(gram, dim).values.map(value => Math.max(value, 0));
}
