import {InvalidArgumentError} from '../../base/errors.js';
import type {ProgressOptions} from '../progress.js';
import {takesCache} from '../adapters/index.js';
import {type Curve, type Side, costedSides, errorCurves} from './error_curves.js';
import type {FeatureSample} from './feature_sample.js';
import type {Prepared} from './prepare.js';
import {withSensitivities} from './sensitivity.js';

/** Numbers stored per key and per value of a head, one rank per depth. */
export interface Ranks {
  readonly keys: readonly number[];
  readonly values: readonly number[];
}

/** Ranks as a caller gives them: one for all depths, or one per depth. */
export interface GivenRanks {
  readonly keys: number | readonly number[];
  readonly values: number | readonly number[];
}

export interface AllotOptions extends ProgressOptions {
  readonly ranks?: GivenRanks;
  readonly ratio?: number;
  readonly errorBudget?: number;
  readonly spread: 'waterFilled' | 'uniform';
  /** The features of a text on which errors are measured. */
  readonly sample?: FeatureSample;
}

/** The share of the cache that is kept if the caller gives neither a ratio, nor ranks, nor an error budget. */
const defaultRatio = 0.5;

/** The ranks of every depth: see `CompressOptions`. */
export async function allotRanks(
  {model, attentions, weightsOf, bases, dim, options: {ropeMode}}: Prepared,
  {ranks, ratio = defaultRatio, errorBudget, spread, sample, ...progress}: AllotOptions,
): Promise<Ranks> {
  const depths = attentions.length;
  if (ranks !== undefined) return givenRanks(ranks, depths, dim);
  if (errorBudget === undefined && spread === 'uniform') return uniformRanks(depths, dim, ratio);
  const curves = errorCurves(bases);
  if (errorBudget !== undefined) {
    if (sample === undefined) {
      throw new InvalidArgumentError('An errorBudget is measured on a text; give one as text.');
    }
    return thresholdRanks(curves, dim, errorBudget, async (depth, keys, values) => {
      const {output} = await weightsOf(depth);
      return (await sample.errors(depth, bases[depth]!, ropeMode, {keys, values}, output)).outputError;
    });
  }
  const costed = costedSides(bases);
  if (costed !== undefined) return waterFilledRanks(costed, dim, ratio);
  const sides =
    sample !== undefined && attentions.every(({layer}) => takesCache(layer))
      ? await withSensitivities(model, sample.ids, curves, bases, ropeMode, progress)
      : curves.map(curve => ({...curve, sensitivity: 1}));
  return waterFilledRanks(sides, dim, ratio);
}

/** Ranks are multiples of this if the head's dim is: integer codes then fill their words, and kernels their registers. */
const rankStep = 4;

/** The same rank everywhere: `ratio * dim`, rounded down, at least 1. */
export function uniformRanks(depths: number, dim: number, ratio: number): Ranks {
  const rank = Math.max(1, Math.floor(checkRatio(ratio) * dim + 1e-9));
  return {keys: Array<number>(depths).fill(rank), values: Array<number>(depths).fill(rank)};
}

/**
 * Ranks of one global budget by reverse water-filling: over all sides of all depths, the directions that lower the predicted
 * error most per stored number are kept until `ratio` of all numbers is reached,
 *
 *     minimise sum_s sensitivity_s errors_s(rank_s)    subject to    sum_s rank_s <= ratio * sides * dim
 *
 * The heads of a depth share a rank. Each side keeps at least 1 direction, or 4 if ranks are multiples of 4.
 *
 * @throws InvalidArgumentError if the ratio is not in (0, 1].
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
    if (best < 0) break; // every side has full rank
    ranks[best]! += step;
    left -= step;
  }
  const of = (name: Side['side']) => ranks.filter((_, index) => sides[index]!.side === name);
  return {keys: of('keys'), values: of('values')};
}

/** Measures the relative error of a depth's attention output at these ranks. */
export type MeasuredError = (depth: number, keyRank: number, valueRank: number) => Promise<number>;

/** Shares of energy above the paper's: at its first, 0.98, the attention output of some depths is already off by a tenth. */
const finerEnergies = [0.9999, 0.9998, 0.9995, 0.999, 0.998, 0.995, 0.99];

/**
 * The rank of each depth by Eigen Attention's loop (arXiv 2408.05646, section 3.2): the share of energy that a depth keeps is
 * lowered, from 0.98 on in the paper's steps of 0.02, as long as the relative error of its attention output stays within the
 * budget. Energy is that of K Q^T and of V W_O.
 *
 * @param errorBudget the largest ||out - out'|| / ||out||, above 0. The paper uses 0.025.
 * @throws InvalidArgumentError if the budget is not a number above 0.
 */
export async function thresholdRanks(
  curves: readonly Curve[],
  dim: number,
  errorBudget: number,
  measure: MeasuredError,
): Promise<Ranks> {
  if (!(errorBudget > 0 && Number.isFinite(errorBudget))) {
    throw new InvalidArgumentError(`errorBudget = ${errorBudget}; expected a number above 0, such as 0.025.`);
  }
  const energies = [...finerEnergies, ...Array.from({length: 49}, (_, i) => 0.98 - 0.02 * i)];
  const keys: number[] = [];
  const values: number[] = [];
  for (let depth = 0; depth < curves.length / 2; depth++) {
    const [ofKeys, ofValues] = (['keys', 'values'] as const).map(
      side => curves.find(curve => curve.depth === depth && curve.side === side)!.errors,
    );
    let kept = [dim, dim] as const;
    for (const energy of energies) {
      const next = [rankOfEnergy(ofKeys!, energy), rankOfEnergy(ofValues!, energy)] as const;
      if (next.join() === kept.join()) continue;
      if ((await measure(depth, ...next)) > errorBudget) break;
      kept = next;
    }
    keys.push(kept[0]);
    values.push(kept[1]);
  }
  return {keys, values};
}

/** The smallest rank, at least 1, that keeps this share of the energy. */
function rankOfEnergy(errors: Float64Array, energy: number): number {
  return Math.max(
    1,
    errors.findIndex(error => error <= 1 - energy),
  );
}

/**
 * Ranks that the caller chose.
 * @throws InvalidArgumentError if there is not one per depth, or one is not a whole number from 1 to dim.
 */
export function givenRanks({keys, values}: GivenRanks, depths: number, dim: number): Ranks {
  const listed = (side: string, given: number | readonly number[]) => {
    const ranks = typeof given === 'number' ? Array<number>(depths).fill(given) : given;
    if (ranks.length !== depths) {
      throw new InvalidArgumentError(
        `ranks.${side} has ${ranks.length} numbers; expected one for each of the ${depths} depths.`,
      );
    }
    const wrong = ranks.find(rank => !(Number.isInteger(rank) && rank >= 1 && rank <= dim));
    if (wrong === undefined) return ranks;
    throw new InvalidArgumentError(
      `ranks.${side} has ${wrong}; expected whole numbers from 1 to the head's ${dim}.`,
    );
  };
  return {keys: listed('keys', keys), values: listed('values', values)};
}

function checkRatio(ratio: number): number {
  if (ratio > 0 && ratio <= 1) return ratio;
  throw new InvalidArgumentError(`ratio = ${ratio}; expected a share of the cache above 0, at most 1.`);
}
