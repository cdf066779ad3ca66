import type {Policy} from './policy.js';
import {type Spec, makePolicy} from './registry.js';

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
  return 'policyFor' in value;
}

export function asPolicy(policy: PolicyLike): Policy {
  return 'compress' in policy ? policy : makePolicy(policy);
}

/** A policy's name and options. */
export function specOf({name, options}: Policy): Spec {
  return {name, options};
}
