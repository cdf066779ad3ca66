import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Policy} from '../policy.js';
import {type Spec, makePolicy} from '../registry.js';

/** *Where* each policy goes: the policy of every depth of a model. */
export interface Plan {
  policyFor(depth: number, depths: number): Policy;
  /** What `planFromJson` needs to make this plan again. */
  toJSON(): PlanJson;
}

/** A plan as JSON: its kind, and what belongs to it. */
export type PlanJson = {readonly plan: string} & Readonly<Record<string, unknown>>;

/** A policy as it may be written in a plan: itself, or its name and options. */
export type PolicyLike = Policy | Spec;

/** Whether this is a plan (and not a single policy). */
export function isPlan(value: Plan | PolicyLike): value is Plan {
  return isObject(value) && 'policyFor' in value && typeof value.policyFor === 'function';
}

/**
 * A policy from itself, or from its name and options.
 * @throws InvalidArgumentError where it is neither.
 */
export function asPolicy(policy: PolicyLike): Policy {
  if (!isObject(policy) || typeof policy.name !== 'string' || 'plan' in policy) throw noPolicy(policy);
  if (!('compress' in policy)) return makePolicy(policy);
  const {compress}: {compress: unknown} = policy;
  if (typeof compress !== 'function') throw noPolicy(policy);
  return policy;
}

/** A policy's name and options. */
export function specOf({name, options}: Policy): Spec {
  return {name, options};
}

/** Callers of plain JavaScript give anything. */
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function noPolicy(given: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `${shown(given)} is no plan and no policy; expected a policy such as quantized({bits: 8}), its name and options such as ` +
      `{name: "quantized", options: {bits: 8}}, or a plan such as bands().${whatItMayBe(given)}`,
  );
}

function whatItMayBe(given: unknown): string {
  if (typeof given === 'string') return ' parsePolicy(text) makes a policy of a text.';
  if (typeof given === 'function') return ' Call it: policies are what these functions return.';
  if (Array.isArray(given)) return ' perDepth([...]) makes a plan of a policy for each depth.';
  return isObject(given) && 'plan' in given ? ' planFromJson(json) makes a plan of JSON.' : '';
}
