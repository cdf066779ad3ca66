import {InvalidArgumentError} from '../../base/errors.js';
import {
  type Ranks,
  costedSides,
  errorCurves,
  givenRanks,
  thresholdRanks,
  uniformRanks,
  waterFilledRanks,
} from './allotment.js';
import type {FeatureSample} from './feature_sample.js';
import type {Prepared} from './prepare.js';
import {type SensitivityOptions, withSensitivities} from './sensitivity.js';

export interface AllotOptions extends SensitivityOptions {
  readonly ranks?: {readonly keys: number | readonly number[]; readonly values: number | readonly number[]};
  readonly ratio?: number | undefined;
  readonly errorBudget?: number | undefined;
  readonly spread: 'waterFilled' | 'uniform';
  readonly sample?: readonly number[];
  /** Of the sample. */
  readonly features?: FeatureSample;
}

/** The share of a cache that is kept where nothing was asked for. */
const defaultRatio = 0.5;

/** The ranks of every depth, in one of the ways that `compressModel` offers. */
export async function allotRanks(
  {model, attentions, weights, bases, dim, options: {ropeMode}}: Prepared,
  {ranks, ratio = defaultRatio, errorBudget, spread, sample, features, ...progress}: AllotOptions,
): Promise<Ranks> {
  const depths = attentions.length;
  if (ranks !== undefined) return givenRanks(ranks, depths, dim);
  if (errorBudget === undefined && spread === 'uniform') return uniformRanks(depths, dim, ratio);
  const curves = errorCurves(bases);
  if (errorBudget !== undefined) {
    if (features === undefined) {
      throw new InvalidArgumentError('An errorBudget is measured on a text; give the ids of one as sample.');
    }
    return thresholdRanks(curves, dim, errorBudget, async (depth, keys, values) => {
      const {output} = weights[depth]!;
      const {outputError} = await features.errors(depth, bases[depth]!, ropeMode, {keys, values}, output);
      return outputError;
    });
  }
  const costed = costedSides(bases);
  if (costed !== undefined) return waterFilledRanks(costed, dim, ratio);
  const takesCache = attentions.every(({layer}) => 'layerShape' in layer);
  const sides =
    sample !== undefined && takesCache
      ? await withSensitivities(model, sample, curves, bases, ropeMode, progress)
      : curves.map(curve => ({...curve, sensitivity: 1}));
  return waterFilledRanks(sides, dim, ratio);
}
