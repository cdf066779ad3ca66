import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {type RopeConfig, ropeFrequencies} from '../../../ops/rotate/rope.js';
import type {Context, HeadSizes} from '../../contract.js';
import type {TransformProfile} from './profile.js';

/**
 * @param fingerprint of the attention weights of the model that a profile is used for; undefined if it is not known.
 * @throws ModelError if the profile is of a model with other attention weights.
 */
export function expectFingerprint(profile: TransformProfile, fingerprint: string | undefined): void {
  if (fingerprint === undefined || fingerprint === profile.fingerprint) return;
  throw new ModelError(
    `The profile is of another model: its attention weights have the fingerprint ${profile.fingerprint}, and those of this model ` +
      `${fingerprint}. Make one of this model with calibrate and transformProfile, or "eigenkv calibrate --profile FILE".`,
  );
}

/** @throws InvalidArgumentError if a profile is of heads of other sizes, or of another number of key heads. */
export function expectHeads({depths}: TransformProfile, {kvHeads, dim, dimV}: HeadSizes): void {
  const {keys, values} = depths[0]!;
  if (keys.dim === dim && values.dim === dimV && (kvHeads ?? keys.kvHeads) === keys.kvHeads) return;
  throw new InvalidArgumentError(
    `transform: the profile is of ${keys.kvHeads} key heads with ${keys.dim} numbers per key and ${values.dim} per value, and this ` +
      `model has ${kvHeads ?? 'heads'} with ${dim} and ${dimV}: calibrate this model.`,
  );
}

/** @throws InvalidArgumentError if a profile is of a model with other depths or rotary positions, or if layers compress their keys. */
export function expectContext(
  {depths, rope}: TransformProfile,
  context: Pick<Context, 'depths' | 'latentKeys' | 'rope'>,
): void {
  const refuse = (given: string, expected: string) => {
    throw new InvalidArgumentError(
      `transform: the profile is of a model with ${expected}, and this one has ${given}: calibrate this model.`,
    );
  };
  const layers = (count: number) => `${count} attention layers`;
  if (depths.length !== context.depths) refuse(layers(context.depths), layers(depths.length));
  if (context.latentKeys !== undefined) refuse('layers that compress their keys', 'whole keys');
  const {dim} = depths[0]!.keys;
  const given = context.rope?.config;
  if (!areSameRotations(rope, given, dim)) refuse(rotationText(given), rotationText(rope));
}

function areSameRotations(a: RopeConfig | undefined, b: RopeConfig | undefined, dim: number): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || (a.interleaved ?? false) !== (b.interleaved ?? false))
    return false;
  const [one, other] = [ropeFrequencies(a, dim), ropeFrequencies(b, dim)];
  return (
    one.magnitude === other.magnitude &&
    one.frequencies.length === other.frequencies.length &&
    one.frequencies.every((frequency, i) => frequency === other.frequencies[i])
  );
}

const rotationText = (rope: RopeConfig | undefined): string =>
  rope === undefined ? 'no rotary positions' : `the rotary positions ${JSON.stringify(rope)}`;
