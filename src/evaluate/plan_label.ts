import type {Options} from '../../base/options.js';
import type {Policy} from '../../cache/contract.js';
import {makePolicy, policyNames} from '../../cache/policies/as_policy.js';
import * as v from 'valibot';
import type {Options} from '../../cache/codec.js';
import {asPlan} from '../../cache/plans/index.js';
import {makePolicy, policyNames} from '../../cache/registry.js';

const spec = v.strictObject({name: v.string(), options: v.optional(v.record(v.string(), v.unknown()), {})});

/** What `asPlan` takes. */
export type PlanLike = Parameters<typeof asPlan>[0];

/**
 * A plan as it is written on the command line, `quantized:bits=4`, without the options that have their defaults. A plan of
 * several policies shows its parts: `bands(shallow=h2o, deep=quantized:bits=4, output=full)`.
 */
export function planLabel(given: PlanLike): string {
  const {plan, ...parts} = asPlan(given).toJSON();
  if (plan === 'uniform') return partLabel(parts['policy']);
  if (plan === 'scenario') return partLabel(parts['name']);
  if (plan === 'perDepth') {
    const [first, ...others] = Array.isArray(parts['policies']) ? parts['policies'].map(partLabel) : [];
    if (first !== undefined && others.every(label => label === first)) return first;
  }
  const labels = Object.entries(parts).map(([name, part]) => `${name}=${partLabel(part)}`);
  return `${plan}(${labels.join(', ')})`;
}

/** A policy's name and options, a list, or any other value of a plan's JSON. */
function partLabel(part: unknown): string {
  if (Array.isArray(part)) return `[${part.map(partLabel).join(', ')}]`;
  const parsed = v.safeParse(spec, part);
  if (parsed.success) return specLabel(parsed.output);
  return typeof part === 'string' ? part : JSON.stringify(part);
}

function specLabel({name, options}: v.InferOutput<typeof spec>): string {
  const defaults: Options = policyNames().includes(name) ? makePolicy({name}).options : {};
  const changed = Object.entries(options)
    .filter(([option, value]) => JSON.stringify(value) !== JSON.stringify(defaults[option]))
    .map(([option, value]) => `${option}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return changed.length === 0 ? name : `${name}:${changed.join(',')}`;
}
