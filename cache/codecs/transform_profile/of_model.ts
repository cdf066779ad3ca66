import {Digest} from '../../../base/digest.js';
import {checkProfile} from './check_profile.js';
import {type TransformProfile, transformSides} from './profile.js';

// Which profile belongs to which model, and profiles by the digests that saved plans name them by.

const ofModels = new WeakMap<object, TransformProfile>();
/** All that a model has had: caches go on by the one that they began with. */
const everOf = new WeakMap<object, Set<TransformProfile>>();
/** How many models have had a profile. */
const modelCounts = new WeakMap<TransformProfile, number>();
const byId = new Map<string, TransformProfile>();
const ids = new WeakMap<TransformProfile, string>();

/** Makes a profile the one that policies use for a model, if they name none. (`useProfile` of models/ looks whether it is of that model.) */
export function setProfileOfModel(model: object, profile: TransformProfile): void {
  ofModels.set(model, profile);
  const had = everOf.get(model) ?? new Set<TransformProfile>();
  everOf.set(model, had);
  if (had.has(profile)) return;
  had.add(profile);
  modelCounts.set(profile, (modelCounts.get(profile) ?? 0) + 1);
}

/** Forgets the profiles that a model has had; returns those that no other model has had, whose tensors can be freed. */
export function takeProfilesOfModel(model: object): TransformProfile[] {
  const had = [...(everOf.get(model) ?? [])];
  ofModels.delete(model);
  everOf.delete(model);
  for (const profile of had) modelCounts.set(profile, modelCounts.get(profile)! - 1);
  return had.filter(profile => modelCounts.get(profile) === 0);
}

/** The profile that `setProfileOfModel` set; undefined if none. */
export function profileOfModel(model: object): TransformProfile | undefined {
  return ofModels.get(model);
}

/**
 * Makes a profile known by its id, which is returned: saved plans and snapshots that name it can then be read.
 * @throws InvalidArgumentError if it is no profile.
 */
export function registerProfile(profile: TransformProfile): string {
  if (!ids.has(profile)) checkProfile(profile);
  const id = profileId(profile);
  byId.set(id, profile);
  return id;
}

/** The profile of an id; undefined if it was not registered. */
export function registeredProfile(id: string): TransformProfile | undefined {
  return byId.get(id);
}

/** Sixteen hexadecimal digits: a digest of the transforms and of what bits are chosen by. (A is the inverse of B.) */
export function profileId(profile: TransformProfile): string {
  const known = ids.get(profile);
  if (known !== undefined) return known;
  const digest = new Digest().take(profile.fingerprint).take(JSON.stringify(profile.rope ?? null));
  for (const depth of profile.depths) {
    for (const side of transformSides) {
      const {mean, rotatedMean, synthesis, weights} = depth[side];
      for (const part of [mean, rotatedMean, synthesis, weights]) {
        if (part === undefined) continue;
        digest.take(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      }
    }
  }
  ids.set(profile, digest.hex);
  return digest.hex;
}
