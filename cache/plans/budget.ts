import {InvalidArgumentError} from '../../base/errors.js';
import {layerShapes} from '../binding/attention_layers.js';
import {profileOfModel} from '../codecs/transform_profile/of_model.js';
import type {TransformProfile} from '../codecs/transform_profile/profile.js';
import type {Policy} from '../contract.js';
import {policiesWithin} from './budget_policies.js';
import {type BudgetSize, budgetSize} from './budget_size.js';
import type {Plan} from './plan.js';

/**
 * Returns the plan of the least loss within a number of bytes: `budget({ratio: 0.1})`, `budget({bytesPerToken: 4096})` or
 * `budget({bytes: 20e6, tokens: 4096})`.
 *
 * If the model has a profile, that is codes in the metric of the loss (`transform`) with as many bits as fit: one Lagrange multiplier
 * divides them among channel groups, heads, both sides and all depths. Of a text of known length, an eighth is near (512 tokens at most).
 * Budgets that have room for 8-bit integer codes everywhere take those, and `full` at the depths where errors cost most. Without a profile
 * all depths have the same integer codes, and so have those of tiny
 * heads whose codes by a profile would take less than the table of positions that they need.
 *
 * @throws InvalidArgumentError if the size is not one of these; from `policyFor`, since it depends on the model, if the budget is below
 *   the least that a plan takes or above the bytes of float32: the message says the nearest one.
 */
export function budget(size: BudgetSize): Plan {
  const checked = budgetSize(size);
  const solved = new WeakMap<object, {profile: TransformProfile | undefined; policies: readonly Policy[]}>();
  return {
    policyFor(depth, _depths, model) {
      if (model === undefined) {
        throw new InvalidArgumentError(
          'A budget gives each model its own policies: call policyFor(depth, depths, model), or make a KVCache.',
        );
      }
      const profile = profileOfModel(model);
      let found = solved.get(model);
      if (found === undefined || found.profile !== profile) {
        const shapes = layerShapes(model);
        found = {profile, policies: policiesWithin(checked, shapes, profile)};
        solved.set(model, found);
      }
      return found.policies[depth]!;
    },
    toJSON: () => ({plan: 'budget', ...checked}),
  };
}
