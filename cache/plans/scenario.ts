import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import {profileOfModel} from '../codecs/transform_profile/of_model.js';
import type {Policy} from '../contract.js';
import {h2o} from '../policies/h2o.js';
import {quantized} from '../policies/quantized.js';
import {budget} from './budget.js';
import type {Plan} from './plan.js';

/** Requirements, and what is recommended for each: with a profile of the model, and without. */
const scenarios = {
  /** Memory is very scarce: a tenth of float32; an eighth without a profile. */
  memory: {calibrated: budget({ratio: 0.1}), otherwise: quantized({keyBits: 4, valueBits: 3})},
  /** Long contexts: hardly any loss in a seventh of float32. */
  longContext: {calibrated: budget({ratio: 0.15}), otherwise: quantized({keyBits: 5, valueBits: 4})},
  /** Real time: the tokens with the most attention, in a fixed number of tokens, so that no step takes longer than another. */
  realTime: {otherwise: h2o()},
  /** Accuracy first: the same text as with the full cache, but for a token in hundreds. */
  accuracy: {otherwise: quantized()},
} satisfies Record<string, {calibrated?: Plan; otherwise: Policy}>;

export type ScenarioName = keyof typeof scenarios;

/** The names that `scenario` accepts. */
export const scenarioNames = Object.keys(scenarios) as ScenarioName[];

/**
 * Returns the plan recommended for a requirement: `'memory'`, `'longContext'`, `'realTime'` or `'accuracy'`. For the first two it depends on
 * whether the model has a profile.
 *
 * @throws InvalidArgumentError if there is no such scenario.
 */
export function scenario(name: ScenarioName): Plan {
  const given: unknown = name;
  if (typeof given !== 'string') {
    throw new InvalidArgumentError(`scenario(${shown(given)}); expected one of ${scenarioNames.join(', ')}.`);
  }
  if (!Object.hasOwn(scenarios, given)) {
    throw new InvalidArgumentError(
      `There is no scenario "${given}"; there are ${scenarioNames.join(', ')}.${didYouMean(given, scenarioNames)}`,
    );
  }
  const {calibrated, otherwise}: {calibrated?: Plan; otherwise: Policy} = scenarios[name];
  return {
    policyFor: (depth, depths, model) =>
      calibrated !== undefined && model !== undefined && profileOfModel(model) !== undefined
        ? calibrated.policyFor(depth, depths, model)
        : otherwise,
    toJSON: () => ({plan: 'scenario', name}),
  };
}
