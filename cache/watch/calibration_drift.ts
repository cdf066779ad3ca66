import * as tf from '@tensorflow/tfjs';
import type {LowRankEncoding} from '../../ops/encodings/encoding.js';
import {tileTokens} from '../../ops/encodings/lloyd_max_layout.js';
import {
  type CalibrationDrift,
  type StoredCodes,
  calibrationDriftOf,
} from '../codecs/transform_profile/drift.js';
import {profileId, profileOfModel, registeredProfile} from '../codecs/transform_profile/of_model.js';
import {
  type TransformProfile,
  type TransformSide,
  transformSides,
} from '../codecs/transform_profile/profile.js';
import type {PairCodec} from '../contract.js';
import type {KVCache} from '../kv_cache.js';
import {type Past, type Segment, finerSegments} from '../past/past.js';

/** The newest tiles of each depth are looked at, 512 tokens. */
const mostTiles = 32;

/**
 * Compares what a cache stores by `transform` with the texts that its profile was calibrated on. It reads codes and scales of the newest
 * tokens, and costs nothing until it is called: a millisecond per depth then.
 *
 *     const drift = await calibrationDrift(cache);
 *     if (drift?.hasLeft) console.warn('The text is not of the kind that this model was calibrated on.');
 *
 * @returns undefined if no depth stores tokens by a profile, or none is stored yet. Of a batch, the first text is looked at.
 */
export async function calibrationDrift(cache: KVCache): Promise<CalibrationDrift | undefined> {
  const {model} = cache;
  const newest: NewestCodes[] = [];
  const profiles: (TransformProfile | undefined)[] = [];
  for (let depth = 0; cache.policy(depth) !== undefined; depth++) {
    const profile = profileOfStore(cache.policy(depth)!.store, model);
    const segment = codedSegment(cache.past(depth));
    profiles.push(profile);
    if (profile === undefined || segment === undefined) continue;
    for (const side of transformSides) {
      const encoding = segment[side];
      if (encoding.kind !== 'lowRank') continue;
      const codes = newestCodes(encoding, segment.tokens, depth, side);
      if (codes !== undefined) newest.push(codes);
    }
  }
  if (newest.length === 0) return undefined;
  const stored = await Promise.all(newest.map(readCodes)); // copies, since the cache may change meanwhile
  return calibrationDriftOf(stored, (depth, side) => profiles[depth]!.depths[depth]![side]);
}

/** The segment that has most of the tokens in codes: it says most. */
function codedSegment(past: Past | undefined): Segment | undefined {
  const segments = ['stored', ...finerSegments].flatMap(name => past?.held[name] ?? []);
  return segments.reduce<Segment | undefined>(
    (most, segment) => (segment.tokens > (most?.tokens ?? 0) ? segment : most),
    undefined,
  );
}

/** The profile that the codec of a cache's policy stores by; undefined if it has none, or the model has another one since. */
export function profileOfStore(
  {name, options, tables}: PairCodec,
  model: object,
): TransformProfile | undefined {
  if (name !== 'transform') return undefined;
  const id = options['profile'];
  if (typeof id === 'string') return registeredProfile(id);
  const profile = profileOfModel(model);
  return profile !== undefined && profileId(profile) === tables ? profile : undefined;
}

/** `StoredCodes` in tensors of their own. */
interface NewestCodes extends Omit<StoredCodes, 'codes' | 'scales'> {
  readonly codes: tf.Tensor4D;
  readonly scales: tf.Tensor4D;
}

function newestCodes(
  {latents}: LowRankEncoding,
  tokens: number,
  depth: number,
  side: TransformSide,
): NewestCodes | undefined {
  const whole = Math.floor(tokens / tileTokens);
  if (latents.kind !== 'lloydMax' || whole === 0) return undefined;
  const tiles = Math.min(whole, mostTiles);
  const newest = (tensor: tf.Tensor4D) =>
    tf.tidy(() => tf.slice(tensor, [0, 0, whole - tiles, 0], [1, 1, tiles, -1]));
  const {widths, codes, scales} = latents;
  return {depth, side, tiles, widths, codes: newest(codes), scales: newest(scales)};
}

async function readCodes({codes, scales, ...rest}: NewestCodes): Promise<StoredCodes> {
  try {
    return {...rest, codes: await codes.data<'int32'>(), scales: await scales.data<'int32'>()};
  } finally {
    tf.dispose([codes, scales]);
  }
}
