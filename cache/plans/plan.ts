import type {LayerShape} from '../binding/layer_shape.js';
import type {Policy} from '../contract.js';
import {asPolicy, checkPolicy} from '../policies/as_policy.js';

/** *Where* each policy goes: the policy of every depth of a model. */
export interface Plan {
  policyFor(depth: number, depths: number): Policy;
  /** What `asPlan` needs to make this plan again. */
  toJSON(): PlanJson;
}

/** A plan as JSON: its kind, and what belongs to it. */
export type PlanJson = {readonly plan: string} & Readonly<Record<string, unknown>>;

/**
 * The policy of every depth, each checked against the sizes of its heads.
 * @throws InvalidArgumentError if the plan gives none, or one that does not fit.
 */
export function policiesOf(plan: Plan, shapes: readonly LayerShape[]): Policy[] {
  return shapes.map((shape, depth) => {
    const policy = asPolicy(plan.policyFor(depth, shapes.length)); // plans of others may give anything
    checkPolicy(policy, shape);
    return policy;
  });
}
