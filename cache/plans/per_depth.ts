import {InvalidArgumentError, shown} from '../../base/errors.js';
import {specOf} from '../../base/options.js';
import {type PolicyLike, asPolicy} from '../policies/as_policy.js';
import type {Plan} from './plan.js';

/**
 * Returns a plan with one policy per depth, in order.
 * @throws InvalidArgumentError if a policy cannot be read. `policyFor` throws it if the model has another number of depths.
 */
export function perDepth(policies: readonly PolicyLike[]): Plan {
  const given: unknown = policies;
  if (!Array.isArray(given)) {
    throw new InvalidArgumentError(
      `perDepth(${shown(given)}); expected a list of policies, one for each depth.`,
    );
  }
  const listed = Array.from(policies, policy => asPolicy(policy)); // `map` would leave holes
  return {
    policyFor(depth, depths) {
      const policy = listed[depth];
      if (policy === undefined || listed.length !== depths) {
        throw new InvalidArgumentError(
          `This plan is for ${listed.length} depths, but the model has ${depths}; give one policy for each depth.`,
        );
      }
      return policy;
    },
    toJSON: () => ({plan: 'perDepth', policies: listed.map(specOf)}),
  };
}
