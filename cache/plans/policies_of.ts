import type {LayerShape} from '../binding/layer_shape.js';
import {type Plan, asPolicy} from './plan.js';
import type {Policy} from '../policy.js';

/**
 * The policy of every depth, each checked against the sizes of its heads.
 * @throws InvalidArgumentError where the plan gives none, or one that does not fit.
 */
export function policiesOf(plan: Plan, rows: readonly LayerShape[]): Policy[] {
  return rows.map((row, depth) => {
    const policy = asPolicy(plan.policyFor(depth, rows.length));
    policy.check?.(row);
    return policy;
  });
}
