import type {TransformProfile} from '../../../cache/codecs/transform_profile/profile.js';
import {profileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import {layerShapes} from '../../../cache/binding/attention_layers.js';
import type {KVCache} from '../../../cache/kv_cache.js';
import {profileOfStore} from '../../../cache/watch/calibration_drift.js';
import {predictedLosses} from './predicted_losses.js';

/** What a calibration says of a cache's plan. */
export interface CalibratedLosses {
  /** Names of the texts that the model was calibrated on. */
  readonly texts: readonly string[];
  /** KL divergence that each depth adds, nats per token; undefined if it cannot be predicted: see `predictedLosses`. */
  readonly depths: readonly (number | undefined)[];
  /** Their sum; undefined if one of them is. */
  readonly predictedKl: number | undefined;
}

/**
 * The losses that the model's profile, or the one that its policies name, predicts for a cache; undefined if there is no profile.
 * @param tokens length of the text. Default: what the cache has seen.
 */
export async function calibratedLosses(
  cache: KVCache,
  tokens = cache.tokens,
): Promise<CalibratedLosses | undefined> {
  const shapes = layerShapes(cache.model);
  const policies = shapes.map(({depth}) => cache.policy(depth)!);
  const profile: TransformProfile | undefined =
    policies.map(({store}) => profileOfStore(store, cache.model)).find(found => found !== undefined) ??
    profileOfModel(cache.model);
  if (profile?.depths.length !== shapes.length) return undefined;
  const depths = await predictedLosses(policies, shapes, profile, tokens);
  const predictedKl = depths.reduce<number | undefined>(
    (sum, loss) => (sum === undefined || loss === undefined ? undefined : sum + loss),
    0,
  );
  return {texts: profile.texts, depths, predictedKl};
}
