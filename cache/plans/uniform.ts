import {specOf} from '../../base/options.js';
import {type PolicyLike, asPolicy} from '../policies/as_policy.js';
import type {Plan} from './plan.js';

/** Returns a plan with the same policy at every depth. */
export function uniform(policy: PolicyLike): Plan {
  const everywhere = asPolicy(policy);
  return {
    policyFor: () => everywhere,
    toJSON: () => ({plan: 'uniform', policy: specOf(everywhere)}),
  };
}
