import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import type {Plan} from './plan.js';
import {adaptive} from '../policies/adaptive.js';
import {h2o} from '../policies/h2o.js';
import {layered} from '../policies/layered.js';
import type {Policy} from '../contract.js';

/** The owner's table of needs, and what answers each. */
const scenarios = {
  /** Memory is extremely short: keys of low rank, all of it in 4 bits: far more than the table's 60 % off. */
  memory: () => layered({longTermBits: 4, rankOf: 'keys', shortTermSize: 64}),
  /** Long contexts: a short term that is exact, a long term that is quantised. */
  longContext: () => layered({longTermBits: 4}),
  /** Real time: the tokens that matter, in a budget that never grows. */
  realTime: () => h2o(),
  /** Accuracy comes first: as few bits as a measured error allows, and no fewer. */
  accuracy: () => adaptive(),
} satisfies Record<string, () => Policy>;

export type ScenarioName = keyof typeof scenarios;

/** The names of all scenarios. */
export const scenarioNames = Object.keys(scenarios) as ScenarioName[];

/** The plan recommended for a need: `memory`, `longContext`, `realTime` or `accuracy`. */
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
