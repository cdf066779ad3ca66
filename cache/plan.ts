import {InvalidArgumentError} from '../ops/errors.js';
import type {Policy} from './policy.js';
import {type Spec, makePolicy} from './registry.js';

/** *Where* each policy goes: the policy of every depth of a model. */
export interface Plan {
  policyFor(depth: number, depths: number): Policy;
  /** What `planFromJson` needs to make this plan again. */
  toJSON(): PlanJson;
}

export interface PlanJson {
  readonly plan: string;
  readonly policies: Readonly<Record<string, Spec>>;
}

/** The same policy at every depth. */
export function uniform(policy: Policy): Plan {
  return {
    policyFor: () => policy,
    toJSON: () => ({plan: 'uniform', policies: {all: specOf(policy)}}),
  };
}

/** A plan from what its `toJSON` gave. */
export function planFromJson({plan, policies}: PlanJson): Plan {
  if (plan === 'uniform' && policies['all'] !== undefined) return uniform(makePolicy(policies['all']));
  throw new InvalidArgumentError(`There is no plan "${plan}" with these policies; there is uniform.`);
}

/** A policy's name and options. */
export function specOf({name, options}: Policy): Spec {
  return {name, options};
}
