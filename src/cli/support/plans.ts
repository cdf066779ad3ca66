import {FormatError} from '../../../base/errors.js';
import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import {scenarioNames} from '../../../cache/plans/index.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {codecOptionNames, storeNames} from '../../../cache/codecs/as_store.js';
import {keeperNames} from '../../../cache/keepers/as_keeper.js';
import {policyNames, policyOptionNames} from '../../../cache/policies/as_policy.js';
import {planLabel} from '../../evaluate/plan_label.js';
import {type Argument, type HelpSection, text, texts} from './arguments.js';
import {readText} from './files.js';
import {UsageError} from './usage_error.js';

const ways = `a policy for every depth, such as quantized, quantized:bits=4 or a keeper such as snapKv:budget=256; a scenario (${scenarioNames.join(', ')}); a size such as 0.1x of float32, 4kB/token or 20MB:tokens=4096; JSON; or a .json file`;

/** Each name with the names of its options. */
const optionsOf = (names: readonly string[], namesOf: (name: string) => readonly string[] | undefined) =>
  names.map(name => [name, (namesOf(name) ?? []).join(', ') || 'no options'] as const);

const parts: readonly HelpSection[] = [
  {
    heading: 'Policies of --plan, with their options',
    terms: () => optionsOf(policyNames(), policyOptionNames),
  },
  {
    heading: 'Keepers, as policies or for keep=NAME',
    terms: () => optionsOf(keeperNames(), policyOptionNames),
  },
  {
    heading: 'Codecs for store=NAME, whose options follow it',
    terms: () => optionsOf(storeNames(), codecOptionNames),
  },
];

/** The option for one plan, which `readPlan` reads. */
export const planArg = (description = 'The plan of the cache'): Argument<string | undefined> => ({
  ...text(`${description}: ${ways}`, 'PLAN'),
  parts,
});

/** The option for several plans, which `readPlans` reads. */
export const plansArg = (fallback: string): Argument<readonly string[]> => ({
  ...texts(`The plan to measure: ${ways}; or all, every policy. Default: ${fallback}`, 'PLAN'),
  parts,
});

/** Returns the plans given to `plansArg`, each once however it is written; `all` stands for every registered policy. */
export async function readPlans(given: readonly string[]): Promise<Plan[]> {
  const texts = given.flatMap(plan => (plan === 'all' ? policyNames() : [plan]));
  const byLabel = new Map<string, Plan>();
  for (const plan of await Promise.all(texts.map(readPlan))) {
    const label = planLabel(plan);
    if (!byLabel.has(label)) byLabel.set(label, plan);
  }
  return [...byLabel.values()];
}

/** Returns a plan from its text on the command line. */
export async function readPlan(given: string): Promise<Plan> {
  if (given === 'all') throw new UsageError('--plan = "all"; this command accepts one plan.');
  return asPlan(given.endsWith('.json') ? await readPlanFile(given) : given);
}

async function readPlanFile(path: string): Promise<PlanLike> {
  try {
    return JSON.parse(await readText(path)) as PlanLike; // checked by asPlan
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new FormatError(`The plan ${path} is not valid JSON; write it as JSON.stringify(plan) does.`, {
      cause,
    });
  }
}
