import {FormatError} from '../../../base/errors.js';
import {asPlan, perDepth, planFromJson, scenario, scenarioNames} from '../../../cache/plans/index.js';
import type {Plan, PolicyLike} from '../../../cache/plans/plan.js';
import {parsePolicy, policyNames} from '../../../cache/registry.js';
import {type Argument, text, texts} from './arguments.js';
import {readText} from './files.js';
import {UsageError} from './usage_error.js';

const ways = `a policy at every depth, as quantized or quantized:bits=4; a need (${scenarioNames.join(', ')}); JSON; or a .json file`;

/** One plan, as text: `readPlan` reads it. */
export const planArg = (description = 'What compresses the cache') => text(`${description}: ${ways}`, 'PLAN');

/** Several plans: `readPlans` reads them. */
export const plansArg = (fallback: string): Argument<readonly string[]> =>
  texts(`What to measure: ${ways}; or all, every policy. Default: ${fallback}`, 'PLAN');

/** The plans that `plansArg` was given; `all` is every registered policy. */
export async function readPlans(given: readonly string[]): Promise<Plan[]> {
  const texts = given.flatMap(plan => (plan === 'all' ? policyNames() : [plan]));
  return Promise.all(texts.map(readPlan));
}

/** A plan as it is written on the command line. */
export async function readPlan(given: string): Promise<Plan> {
  if (given === 'all') throw new UsageError('--plan = "all"; this command takes one plan.');
  if (given.endsWith('.json')) return planOf(await readText(given), given);
  if (/^\s*[[{]/.test(given)) return planOf(given, given);
  const need = policyNames().includes(given) ? undefined : scenarioNames.find(name => name === given);
  return need === undefined ? asPlan(parsePolicy(given)) : scenario(need);
}

function planOf(json: string, shown: string): Plan {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new FormatError(`The plan ${shown} is not JSON; write it as plan.toJSON() gives it.`, {cause});
  }
  if (Array.isArray(parsed)) return perDepth(parsed);
  return isPolicy(parsed) ? asPlan(parsed) : planFromJson(parsed);
}

/** A policy's name and options; a plan's JSON says which kind of plan it is. `asPlan` judges the rest. */
function isPolicy(json: unknown): json is PolicyLike {
  return typeof json === 'object' && json !== null && 'name' in json && !('plan' in json);
}
