import {mean} from '../../../base/statistics.js';
import {type WeightKind, type WeightSpectrum, weightKinds} from './weight_spectra.js';

/** The projections of attention, or those of the feed-forward layers. */
export type WeightGroup = 'attention' | 'feedForward';

/** The rank at 0.9 of the energy, compared with that of a random matrix of the same shape. */
export type RankVerdict = 'low rank' | 'lower than random' | 'as random';

/** Means over the depths of a model. Ranks are shares of the full rank. */
export interface WeightSummary {
  readonly weight: WeightKind | WeightGroup;
  readonly matrices: number;
  readonly share90: number;
  readonly randomShare90: number;
  readonly share99: number;
  readonly randomShare99: number;
  readonly stableRank: number;
  /** Mean of effective rank / random rank, at 0.9. */
  readonly toRandom: number;
  readonly verdict: RankVerdict;
}

/** Matrices are called low rank below half of a random matrix's rank, and no different from random from 0.85 of it. */
const limits = {lowRank: 0.5, asRandom: 0.85};

/**
 * Summarises how low the ranks of weights are: one row for each kind of weight, and one for each group. Ranks depend on the shape alone
 * (a square matrix concentrates its energy more than an oblong one), so verdicts compare with a random matrix of the same shape.
 */
export function weightSummary(spectra: readonly WeightSpectrum[]): WeightSummary[] {
  const ofKind = (...kinds: readonly WeightKind[]) => spectra.filter(({weight}) => kinds.includes(weight));
  const rows = [
    ...weightKinds.map(weight => ({weight, matrices: ofKind(weight)})),
    {weight: 'attention' as const, matrices: ofKind('query', 'key', 'value', 'output')},
    {weight: 'feedForward' as const, matrices: ofKind('gate', 'up', 'down')},
  ];
  return rows
    .filter(({matrices}) => matrices.length > 0)
    .map(({weight, matrices}) => {
      const average = (number: (matrix: WeightSpectrum) => number) => mean(matrices.map(number));
      const toRandom = average(matrix => matrix.effectiveRank90 / matrix.randomRank90);
      return {
        weight,
        matrices: matrices.length,
        share90: average(matrix => matrix.effectiveRank90 / matrix.fullRank),
        randomShare90: average(matrix => matrix.randomRank90 / matrix.fullRank),
        share99: average(matrix => matrix.effectiveRank99 / matrix.fullRank),
        randomShare99: average(matrix => matrix.randomRank99 / matrix.fullRank),
        stableRank: average(matrix => matrix.stableRank),
        toRandom,
        verdict: verdictOf(toRandom),
      };
    });
}

function verdictOf(toRandom: number): RankVerdict {
  if (toRandom < limits.lowRank) return 'low rank';
  return toRandom < limits.asRandom ? 'lower than random' : 'as random';
}
