import * as v from 'valibot';
import {InvalidArgumentError, didYouMean} from '../../base/errors.js';
import {optionValue} from '../../base/options.js';
import {isPlan, type Plan, type PolicyLike} from './plan.js';
import type {Policy} from '../policy.js';
import {bands} from './bands.js';
import {perDepth} from './per_depth.js';
import {type ScenarioName, scenario} from './scenario.js';
import {uniform} from './uniform.js';

/** As many as no model has depths. */
const maxPolicies = 4096;

const spec = v.strictObject({name: v.string(), options: v.optional(v.record(v.string(), optionValue), {})});
const shares = v.strictTuple([v.number(), v.number(), v.number()]);

const schemas = {
  uniform: v.strictObject({plan: v.literal('uniform'), policy: spec}),
  perDepth: v.strictObject({
    plan: v.literal('perDepth'),
    policies: v.pipe(v.array(spec), v.maxLength(maxPolicies)),
  }),
  bands: v.strictObject({
    plan: v.literal('bands'),
    shallow: v.optional(spec),
    deep: v.optional(spec),
    output: v.optional(spec),
    shares: v.optional(shares),
  }),
  scenario: v.strictObject({plan: v.literal('scenario'), name: v.string()}),
};

/**
 * A plan from what its `toJSON` gave, or from a file that someone wrote.
 * @throws InvalidArgumentError that names the key which is missing or wrong.
 */
export function planFromJson(json: unknown): Plan {
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
      return bands({
        shallow,
        deep,
        output,
        shares: given,
      });
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
  const result = v.safeParse(schema, json, {abortEarly: true}); // a text of a stranger can be wrong thousands of times
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new InvalidArgumentError(`In this plan, "${v.getDotPath(issue) ?? ''}" is wrong: ${issue.message}.`);
}

/** A plan from a plan, or the same policy everywhere. */
export function asPlan(plan: Plan | PolicyLike | Policy): Plan {
  return isPlan(plan) ? plan : uniform(plan);
}
