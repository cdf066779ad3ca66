import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import type {Plan} from './plan.js';
import {adaptive} from '../policies/adaptive.js';
import {h2o} from '../policies/h2o.js';
import {layered} from '../policies/layered.js';
import type {Policy} from '../contract.js';

/** Requirements, and the policy recommended for each. */
const scenarios = {
  /** Memory is very scarce: low-rank keys, and all codes in 4 bits. Saves far more than 60 % of float32. */
  memory: () => layered({longTermBits: 4, rankOf: 'keys', shortTermSize: 64}),
  /** Long contexts: an exact short term and a quantised long term. */
  longContext: () => layered({longTermBits: 4}),
  /** Real time: the tokens with the most attention, in a fixed budget. */
  realTime: () => h2o(),
  /** Accuracy first: the fewest bits that keep a measured error within its tolerance. */
  accuracy: () => adaptive(),
} satisfies Record<string, () => Policy>;

export type ScenarioName = keyof typeof scenarios;

/** The names that `scenario` accepts. */
export const scenarioNames = Object.keys(scenarios) as ScenarioName[];

/**
 * Returns the plan recommended for a requirement: `'memory'`, `'longContext'`, `'realTime'` or `'accuracy'`.
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
  const policy = scenarios[name]();
  return {policyFor: () => policy, toJSON: () => ({plan: 'scenario', name})};
}
