import {InvalidArgumentError} from '../../base/errors.js';
import type {DepthBases} from './depth_bases.js';

/** How many numbers of a head are stored, by depth. */
export interface Ranks {
  readonly keys: readonly number[];
  readonly values: readonly number[];
}

/** One side of one depth, as ranks are allotted to it. */
export interface Side {
  readonly depth: number;
  readonly side: 'keys' | 'values';
  /** The predicted squared error for each rank 0 .. dim, all key heads together. */
  readonly errors: Float64Array;
  /** What an error of 1 costs: the same unit for all sides. */
  readonly sensitivity: number;
}

/** Ranks are multiples of this, where a head's dim is one: so integer codes fill their words and kernels their registers. */
const rankStep = 4;

/** Error curves of all depths and sides, as shares of that of rank 0; of a depth keys before values. */
export function errorCurves(bases: readonly DepthBases[]): Omit<Side, 'sensitivity'>[] {
  return bases.flatMap((depthBases, depth) =>
    (['keys', 'values'] as const).map(side => {
      const heads = depthBases[side];
      const total = Float64Array.from({length: (heads[0]?.dim ?? 0) + 1}, (_, rank) =>
        heads.reduce((sum, {errors}) => sum + errors[rank]!, 0),
      );
      const whole = total[0]!;
      return {depth, side, errors: whole > 0 ? total.map(error => error / whole) : total};
    }),
  );
}

/** All sides with what gradients say that they cost: nats a token. Undefined where there are none. */
export function costedSides(bases: readonly DepthBases[]): Side[] | undefined {
  const sides: Side[] = [];
  for (const curve of errorCurves(bases)) {
    const total = new Float64Array(curve.errors.length);
    for (const {costs} of bases[curve.depth]![curve.side]) {
      if (costs === undefined) return undefined;
      costs.forEach((cost, rank) => (total[rank]! += cost));
    }
    sides.push({...curve, errors: total, sensitivity: 1});
  }
  return sides;
}

/** The same rank everywhere: `ratio * dim`, rounded down, at least 1. */
export function uniformRanks(depths: number, dim: number, ratio: number): Ranks {
  const rank = Math.max(1, Math.floor(checkRatio(ratio) * dim + 1e-9));
  return {keys: Array<number>(depths).fill(rank), values: Array<number>(depths).fill(rank)};
}

/**
 * Ranks of one global budget by reverse water-filling: of all sides of all depths, the directions that lower the predicted
 * error most per stored number are kept until `ratio` of all numbers is reached,
 *
 *     minimise sum_s sensitivity_s errors_s(rank_s)    subject to    sum_s rank_s <= ratio * sides * dim
 *
 * Heads of a depth share a rank. Each side keeps some directions at least.
 *
 * @throws InvalidArgumentError for a ratio outside (0, 1].
 */
export function waterFilledRanks(sides: readonly Side[], dim: number, ratio: number): Ranks {
  checkRatio(ratio);
  const step = dim % rankStep === 0 && ratio * dim >= rankStep ? rankStep : 1;
  const ranks = sides.map(() => step);
  let left = Math.floor(ratio * dim * sides.length + 1e-9) - step * sides.length;
  while (left >= step) {
    let best = -1;
    let bestGain = -1;
    for (const [index, {errors, sensitivity}] of sides.entries()) {
      const rank = ranks[index]!;
      if (rank + step > dim) continue;
      const gain = sensitivity * (errors[rank]! - errors[rank + step]!);
      if (gain > bestGain) [best, bestGain] = [index, gain];
    }
    if (best < 0) break; // everything is whole
    ranks[best]! += step;
    left -= step;
  }
  return ranksOf(sides, ranks);
}

/** How the threshold loop is told what a depth loses: the relative error of its attention output at these ranks. */
export type MeasuredError = (depth: number, keyRank: number, valueRank: number) => Promise<number>;

/** Shares of energy above those that the paper tries: at 0.98 the attention output of some depths is off by a tenth already. */
const finerEnergies = [0.9999, 0.9998, 0.9995, 0.999, 0.998, 0.995, 0.99];

/**
 * The rank of each depth by Eigen Attention's loop (arXiv 2408.05646, section 3.2): the share of energy that a depth keeps
 * goes down, from 0.98 on in the paper's steps of 0.02, for as long as the relative error of its attention output stays
 * within the budget. Energy is that of what keys and values are for: of K Q^T and V W_O.
 *
 * @param errorBudget of ||out - out'|| / ||out||, above 0. The paper's default: 0.025.
 */
export async function thresholdRanks(
  sides: readonly Omit<Side, 'sensitivity'>[],
  dim: number,
  errorBudget: number,
  measure: MeasuredError,
): Promise<Ranks> {
  if (!(errorBudget > 0 && Number.isFinite(errorBudget))) {
    throw new InvalidArgumentError(`errorBudget = ${errorBudget}; expected a number above 0, such as 0.025.`);
  }
  const depths = sides.length / 2;
  const energies = [...finerEnergies, ...Array.from({length: 49}, (_, i) => 0.98 - 0.02 * i)];
  const keys: number[] = [];
  const values: number[] = [];
  for (let depth = 0; depth < depths; depth++) {
    const curve = (name: Side['side']) =>
      sides.find(({depth: at, side}) => at === depth && side === name)!.errors;
    let kept = [dim, dim] as const;
    for (const energy of energies) {
      const next = [rankOfEnergy(curve('keys'), energy), rankOfEnergy(curve('values'), energy)] as const;
      if (next.join() === kept.join()) continue;
      if ((await measure(depth, ...next)) > errorBudget) break;
      kept = next;
    }
    keys.push(kept[0]);
    values.push(kept[1]);
  }
  return {keys, values};
}

/** The smallest rank, at least 1, whose predicted error is at most the rest of that share. */
function rankOfEnergy(errors: Float64Array, energy: number): number {
  return Math.max(
    1,
    errors.findIndex(error => error <= 1 - energy),
  );
}

/**
 * Ranks that someone chose.
 * @throws InvalidArgumentError where there is not one for each depth, or one is no whole number from 1 to dim.
 */
export function givenRanks(
  {keys, values}: {readonly keys: number | readonly number[]; readonly values: number | readonly number[]},
  depths: number,
  dim: number,
): Ranks {
  const listed = (side: string, given: number | readonly number[]) => {
    const ranks = typeof given === 'number' ? Array<number>(depths).fill(given) : given;
    if (ranks.length !== depths) {
      throw new InvalidArgumentError(
        `ranks.${side} has ${ranks.length} numbers; expected one for each of the ${depths} depths.`,
      );
    }
    for (const rank of ranks) {
      if (Number.isInteger(rank) && rank >= 1 && rank <= dim) continue;
      throw new InvalidArgumentError(
        `ranks.${side} has ${rank}; expected whole numbers from 1 to the head's ${dim}.`,
      );
    }
    return ranks;
  };
  return {keys: listed('keys', keys), values: listed('values', values)};
}

function ranksOf(sides: readonly Side[], ranks: readonly number[]): Ranks {
  const of = (name: Side['side']) => sides.flatMap(({side}, i) => (side === name ? [ranks[i]!] : []));
  return {keys: of('keys'), values: of('values')};
}

function checkRatio(ratio: number): number {
  if (ratio > 0 && ratio <= 1) return ratio;
  throw new InvalidArgumentError(`ratio = ${ratio}; expected a share of the cache above 0, at most 1.`);
}
