import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import type {Policy} from '../contract.js';
import {h2o} from '../policies/h2o.js';
import {quantized} from '../policies/quantized.js';
import {budget} from './budget.js';
import {calibratedOr} from './calibrated_or.js';
import type {Plan} from './plan.js';

/** Requirements, and what is recommended for each: with a profile of the model, and without. */
const scenarios = {
  /** Memory is very scarce: a tenth of float32; an eighth without a profile. */
  memory: calibratedOr(budget({ratio: 0.1}), quantized({keyBits: 4, valueBits: 3})),
  /** Long contexts: hardly any loss in a seventh of float32. */
  longContext: calibratedOr(budget({ratio: 0.15}), quantized({keyBits: 5, valueBits: 4})),
  /** Real time: the tokens with the most attention, in a fixed number of tokens, so that no step takes longer than another. */
  realTime: always(h2o()),
  /** Accuracy first: the same text as with the full cache, but for a token in hundreds. */
  accuracy: always(quantized()),
} satisfies Record<string, Plan['policyFor']>;

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
  return {policyFor: scenarios[name], toJSON: () => ({plan: 'scenario', name})};
}

function always(policy: Policy): Plan['policyFor'] {
  return () => policy;
}
