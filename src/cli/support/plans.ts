import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import type {Policy} from '../../../cache/contract.js';
import {makePolicy, asPolicy, policyNames} from '../../../cache/policies/as_policy.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {scenario, scenarioNames} from '../../../cache/plans/index.js';
import {FormatError} from '../../../base/errors.js';
import {readText} from './read_text.js';
import {UsageError} from './usage_error.js';

/** The three ways to say what goes where. */
export const planArgs = {
  policy: {
    type: 'string',
    description: 'A name, or name:option=value,option=value, at every depth',
    valueHint: 'P',
  },
  plan: {type: 'string', description: 'A plan in a file, as plan.toJSON() gives it', valueHint: 'FILE'},
  scenario: {
    type: 'string',
    description: `The plan for a need: ${scenarioNames.join(', ')}`,
    valueHint: 'NAME',
  },
} as const;

/** What was given for each of `planArgs`, none, one or several values. */
export interface GivenPlans {
  readonly policy: readonly string[];
  readonly plan: readonly string[];
  readonly scenario: readonly string[];
}

/** Every plan that was given, policies first; the defaults where none was. `all` is every registered policy. */
export async function readPlans(given: GivenPlans, defaults: readonly string[]): Promise<(Plan | Policy)[]> {
  const none = given.policy.length + given.plan.length + given.scenario.length === 0;
  const policies = await Promise.all((none ? defaults : given.policy).map(readPolicies));
  const plans = await Promise.all(given.plan.map(readPlanFile));
  return [...policies.flat(), ...plans, ...given.scenario.map(readScenario)];
}

/** The only plan that was given, or the default. */
export async function readPlan(
  {policy, plan, scenario: need}: {readonly [Way in keyof GivenPlans]?: string | undefined},
  defaultPolicy: string,
): Promise<Plan> {
  const ways = Object.entries({policy, plan, scenario: need}).filter(([, value]) => value !== undefined);
  if (ways.length > 1) {
    throw new UsageError(
      `${ways.map(([name]) => `--${name}`).join(' and ')} say two plans; give one of them.`,
    );
  }
  const listed = (value: string | undefined) => (value === undefined ? [] : [value]);
  const given = {policy: listed(policy), plan: listed(plan), scenario: listed(need)};
  const [first, ...others] = await readPlans(given, [defaultPolicy]);
  if (first === undefined || others.length > 0) throw new UsageError('This command takes one plan.');
  return asPlan(first);
}

async function readPolicies(text: string): Promise<(Plan | Policy)[]> {
  if (text === 'all') return policyNames().map(name => makePolicy({name}));
  return [text.endsWith('.json') ? await readPlanFile(text) : asPolicy(text)];
}

async function readPlanFile(path: string): Promise<Plan> {
  if (!path.endsWith('.json')) {
    throw new UsageError(`--plan = "${path}"; expected a file.json. A policy goes to --policy.`);
  }
  const text = new TextDecoder().decode(await readText(path));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`The plan ${path} is not JSON; write it as plan.toJSON() gives it.`, {cause});
  }
  return asPlan(json as PlanLike);
}

function readScenario(need: string): Plan {
  const name = scenarioNames.find(known => known === need);
  if (name !== undefined) return scenario(name);
  throw new UsageError(`--scenario = "${need}"; expected one of ${scenarioNames.join(', ')}.`);
}
