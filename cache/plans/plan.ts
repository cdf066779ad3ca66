import type {LayerShape} from '../binding/layer_shape.js';
import type {Policy} from '../contract.js';
import {asPolicy, checkPolicy} from '../policies/as_policy.js';

/** *Where* each policy applies: one policy for every depth of a model. */
export interface Plan {
  /** Returns the policy of a depth, from 0 to `depths - 1`. */
  policyFor(depth: number, depths: number): Policy;
  /** Returns JSON from which `asPlan` makes this plan again. */
  toJSON(): PlanJson;
}

/** A plan as JSON: its kind and its options. */
export type PlanJson = {readonly plan: string} & Readonly<Record<string, unknown>>;

/**
 * Returns the policy of every depth, checked against the sizes of its heads.
 * @throws InvalidArgumentError if the plan does not return a policy, or returns one that does not fit.
 */
export function policiesOf(plan: Plan, shapes: readonly LayerShape[]): Policy[] {
  return shapes.map((shape, depth) => {
    const policy = asPolicy(plan.policyFor(depth, shapes.length)); // user-defined plans may return any value
    checkPolicy(policy, shape);
    return policy;
  });
}
