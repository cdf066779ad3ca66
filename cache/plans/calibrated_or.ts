import {profileOfModel} from '../codecs/transform_profile/of_model.js';
import type {Policy} from '../contract.js';
import type {Plan} from './plan.js';

/** The policies of a plan for models that have a profile, and one policy for all depths of others. */
export function calibratedOr(calibrated: Plan, otherwise: Policy): Plan['policyFor'] {
  return (depth, depths, model) =>
    model !== undefined && profileOfModel(model) !== undefined
      ? calibrated.policyFor(depth, depths, model)
      : otherwise;
}
