import type {Warn} from '../../base/warn.js';
import {attentionFingerprintNow} from '../binding/fingerprint.js';
import type {CacheableModel, LayerShape} from '../binding/layer_shape.js';
import type {Policy} from '../contract.js';
import {asPolicy, checkPolicy} from '../policies/as_policy.js';

/** *Where* each policy applies: one policy for every depth of a model. */
export interface Plan {
  /**
   * Returns the policy of a depth, from 0 to `depths - 1`.
   * @param model the model, or its layer shapes, which plans by size need: they differ from model to model.
   */
  policyFor(depth: number, depths: number, model?: CacheableModel | readonly LayerShape[]): Policy;
  /** Returns JSON from which `asPlan` makes this plan again. */
  toJSON(): PlanJson;
}

/** A plan as JSON: its kind and its options. */
export type PlanJson = {readonly plan: string} & Readonly<Record<string, unknown>>;

/**
 * Returns the policy of every depth for one model, checked against the sizes of its heads.
 *
 * @param model the model, or its layer shapes.
 * @param onWarning called with what codecs have to say of this model. Default: nobody is told.
 * @throws InvalidArgumentError if the plan does not return a policy, or returns one that does not fit; ModelError if a codec is for another
 *   model.
 */
export function policiesOf(
  plan: Plan,
  shapes: readonly LayerShape[],
  model: CacheableModel | readonly LayerShape[],
  onWarning?: Warn,
): Policy[] {
  let digits: string | undefined;
  const fingerprint = () => (digits ??= attentionFingerprintNow(model)); // once for all depths
  return shapes.map((shape, depth) => {
    const given = asPolicy(plan.policyFor(depth, shapes.length, model)); // user-defined plans may return any value
    const {store} = given;
    const policy =
      store.forModel === undefined ? given : {...given, store: store.forModel(model, fingerprint)};
    checkPolicy(policy, shape);
    if (policy.store.warning !== undefined) onWarning?.(policy.store.warning);
    return policy;
  });
}
