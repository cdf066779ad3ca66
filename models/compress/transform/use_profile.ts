import {checkProfile} from '../../../cache/codecs/transform_profile/check_profile.js';
import {expectFingerprint} from '../../../cache/codecs/transform_profile/fit.js';
import {setProfileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import type {TransformProfile} from '../../../cache/codecs/transform_profile/index.js';
import {type ModelLike, modelOf} from '../../model_like.js';
import {attentionFingerprint} from './packaged_profiles.js';

/**
 * Makes a profile the one by which `transform`, and plans such as `'0.1x'`, store the caches of a model from now on.
 *
 * @throws InvalidArgumentError if it is no profile; ModelError if it is of a model with other attention weights, or the model's attention is
 *   not known.
 */
export async function useProfile(model: ModelLike, profile: TransformProfile): Promise<void> {
  checkProfile(profile);
  expectFingerprint(profile, await attentionFingerprint(model));
  setProfileOfModel(modelOf(model), profile);
}
