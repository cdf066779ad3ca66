import {ModelError} from '../../../base/errors.js';
import {setProfileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import type {TransformProfile} from '../../../cache/codecs/transform_profile/index.js';
import {type ModelLike, modelOf} from '../../model_like.js';
import {attentionFingerprint} from './packaged_profiles.js';

/**
 * Makes a profile the one by which `transform`, and plans such as `'0.1x'`, store the caches of a model from now on.
 *
 * @throws ModelError if the profile is of a model with other attention weights, or the model's attention is not known.
 */
export async function useProfile(model: ModelLike, profile: TransformProfile): Promise<void> {
  const fingerprint = await attentionFingerprint(model);
  if (fingerprint === profile.fingerprint) {
    setProfileOfModel(modelOf(model), profile);
    return;
  }
  throw new ModelError(
    `The profile is of another model: its attention weights have the fingerprint ${profile.fingerprint}, and those of this model ` +
      `${fingerprint}. Make one of this model with calibrate and transformProfile, or "eigenkv calibrate --profile FILE".`,
  );
}
