import {type Plan, type PolicyLike, asPolicy, specOf} from './plan.js';

/** The same policy at every depth. */
export function uniform(policy: PolicyLike): Plan {
  const everywhere = asPolicy(policy);
  return {
    policyFor: () => everywhere,
    toJSON: () => ({plan: 'uniform', policy: specOf(everywhere)}),
  };
}
