import * as v from 'valibot';
import {type Options, optionValue} from '../../base/options.js';
import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import {budgetSize, textOfBudget} from '../../cache/plans/budget_size.js';
import {makePolicy} from '../../cache/policies/as_policy.js';
import {policyText} from '../../cache/policies/policy_text.js';

const spec = v.strictObject({name: v.string(), options: v.optional(v.record(v.string(), optionValue), {})});

/**
 * Returns a plan as written on the command line, `quantized:bits=4`, without options equal to their defaults. The label of a plan with
 * several policies lists them: `bands(shallow=h2o, deep=quantized:bits=4, output=full)`.
 */
export function planLabel(given: PlanLike): string {
  const {plan, ...parts} = asPlan(given).toJSON();
  if (plan === 'uniform') return partLabel(parts['policy']);
  if (plan === 'budget') return textOfBudget(budgetSize(parts));
  if (plan === 'scenario') return partLabel(parts['name']);
  if (plan === 'perDepth') {
    const [first, ...others] = Array.isArray(parts['policies']) ? parts['policies'].map(partLabel) : [];
    if (first !== undefined && others.every(label => label === first)) return first;
  }
  const labels = Object.entries(parts).map(([name, part]) => `${name}=${partLabel(part)}`);
  return labels.length === 0 ? plan : `${plan}(${labels.join(', ')})`;
}

/** A policy's name and options, a list, or any other value of a plan's JSON. */
function partLabel(part: unknown): string {
  if (Array.isArray(part)) return `[${part.map(partLabel).join(', ')}]`;
  const parsed = v.safeParse(spec, part);
  if (parsed.success) return specLabel(parsed.output);
  return typeof part === 'string' ? part : JSON.stringify(part);
}

function specLabel(policy: v.InferOutput<typeof spec>): string {
  return policyText(policy, defaultsOf(policy.name));
}

/** The options of a policy by default; none if its name is not registered here. */
function defaultsOf(name: string): Options {
  try {
    return makePolicy({name}).options;
  } catch {
    return {};
  }
}
