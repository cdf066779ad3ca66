import * as v from 'valibot';
import {InvalidArgumentError, didYouMean} from '../../base/errors.js';
import {optionValue} from '../../base/options.js';
import {type PolicyLike, asPolicy, policyNames} from '../policies/as_policy.js';
import {bands} from './bands.js';
import {budget} from './budget.js';
import {budgetSize, sizeOfText} from './budget_size.js';
import {perDepth} from './per_depth.js';
import type {Plan, PlanJson} from './plan.js';
import {type ScenarioName, scenario, scenarioNames} from './scenario.js';
import {uniform} from './uniform.js';

/**
 * Whatever can be read as a plan: a `PolicyLike` (for every depth), a list of them (one per depth), a plan, its JSON (as an object or
 * text), `'bands'`, the name of a scenario, or a budget: `'0.1x'` of float32, `'4kB/token'` or `'20MB:tokens=4096'`.
 */
export type PlanLike = Plan | PolicyLike | readonly PolicyLike[] | PlanJson;

/**
 * Returns the plan that a `PlanLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as a plan; the message says what is wrong and what is allowed.
 */
export function asPlan(given: PlanLike): Plan {
  if (typeof given === 'string') return planOfText(given.trim());
  if (Array.isArray(given)) return perDepth(given as readonly PolicyLike[]);
  if (isPlan(given)) return given;
  const isJson = typeof given === 'object' && (given as object | null) !== null && 'plan' in given;
  return isJson ? planOfJson(given) : uniform(given as PolicyLike);
}

/** Whether this is a `Plan` object, not only something that can be read as one. */
function isPlan(given: PlanLike): given is Plan {
  const object: unknown = given;
  return (
    typeof object === 'object' &&
    object !== null &&
    'policyFor' in object &&
    typeof object.policyFor === 'function'
  );
}

function planOfText(text: string): Plan {
  if (/^[[{"]/.test(text)) return asPlan(parsed(text));
  const size = sizeOfText(text);
  if (size !== undefined) return budget(size);
  if (text === 'bands') return bands();
  const need = scenarioNames.find(name => name === text);
  if (need !== undefined) return scenario(need);
  const [name = ''] = text.split(':');
  const others = ['bands', ...scenarioNames];
  if (!policyNames().includes(name)) {
    const near = didYouMean(name, others);
    if (near !== '') throw new InvalidArgumentError(`There is no plan "${text}".${near}`);
    if (/^[-+.]?\d|^(?:NaN|Infinity)/.test(text)) {
      throw new InvalidArgumentError(
        `"${text}" is no size of a budget; write a share of float32 such as 0.1x, bytes per token such as 4kB/token, or bytes of a text ` +
          'such as 20MB:tokens=4096, in B, kB, MB, GB, KiB, MiB or GiB.',
      );
    }
  }
  return uniform(asPolicy(text));
}

function parsed(text: string): PlanLike {
  try {
    return JSON.parse(text) as PlanLike;
  } catch (cause) {
    throw new InvalidArgumentError(
      `This plan is not valid JSON: ${cause instanceof Error ? cause.message : String(cause)}. Write it as JSON.stringify(plan) does, or ` +
        'as a policy: quantized:bits=8.',
      {cause},
    );
  }
}

/** More than any model has depths. */
const maxPolicies = 4096;

const expected = 'expected a policy: its name, its text such as "quantized:bits=8", or its name and options';
const spec = v.strictObject(
  {
    name: v.string(expected),
    options: v.optional(v.record(v.string(), optionValue, 'expected an object of options'), {}),
  },
  expected,
);
/** A `PolicyLike` as JSON has it. */
const policy = v.lazy(given => (typeof given === 'string' ? v.string() : spec));
const share = v.number('expected a number');
const shares = v.strictTuple([share, share, share], 'expected a list of three shares');

const schemas = {
  uniform: v.strictObject({plan: v.literal('uniform'), policy}),
  perDepth: v.strictObject({
    plan: v.literal('perDepth'),
    policies: v.pipe(
      v.array(policy, 'expected a list of policies'),
      v.maxLength(maxPolicies, `expected at most ${maxPolicies} policies`),
    ),
  }),
  bands: v.strictObject({
    plan: v.literal('bands'),
    shallow: v.optional(policy),
    deep: v.optional(policy),
    output: v.optional(policy),
    shares: v.optional(shares),
  }),
  budget: v.looseObject({plan: v.literal('budget')}),
  scenario: v.strictObject({
    plan: v.literal('scenario'),
    name: v.string(`expected one of ${scenarioNames.join(', ')}`),
  }),
};

/** Returns the plan of a `toJSON` result or of a hand-written file. Errors name the key that is missing or wrong. */
function planOfJson(json: unknown): Plan {
  const kind = v.safeParse(v.object({plan: v.string()}), json);
  const kinds = Object.keys(schemas);
  if (!kind.success) {
    throw new InvalidArgumentError(`A plan is an object with a key "plan": one of ${kinds.join(', ')}.`);
  }
  const {plan} = kind.output;
  switch (plan) {
    case 'uniform':
      return uniform(parse(schemas.uniform, json).policy);
    case 'perDepth':
      return perDepth(parse(schemas.perDepth, json).policies);
    case 'bands': {
      const {shallow, deep, output, shares: given} = parse(schemas.bands, json);
      return bands({shallow, deep, output, shares: given});
    }
    case 'budget': {
      const {plan: _, ...size} = parse(schemas.budget, json);
      return budget(budgetSize(size));
    }
    case 'scenario':
      return scenario(parse(schemas.scenario, json).name as ScenarioName);
    default:
      throw new InvalidArgumentError(
        `There is no plan "${plan}"; there are ${kinds.join(', ')}.${didYouMean(plan, kinds)}`,
      );
  }
}

function parse<Schema extends v.GenericSchema>(schema: Schema, json: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, json, {abortEarly: true}); // untrusted text can have thousands of errors
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? '';
  const isMissing = issue.type === 'strict_object' && issue.received === 'undefined';
  throw new InvalidArgumentError(
    `In this plan, "${path}" is ${isMissing ? 'missing' : `wrong: ${issue.message}`}.`,
  );
}
