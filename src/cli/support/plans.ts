import {FormatError} from '../../../base/errors.js';
import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import {scenarioNames} from '../../../cache/plans/index.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {policyNames} from '../../../cache/policies/as_policy.js';
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
  return asPlan(given.endsWith('.json') ? await readPlanFile(given) : given);
}

async function readPlanFile(path: string): Promise<PlanLike> {
  try {
    return JSON.parse(await readText(path)) as PlanLike; // asPlan judges it
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new FormatError(`The plan ${path} is not JSON; write it as JSON.stringify(plan) does.`, {cause});
  }
}
