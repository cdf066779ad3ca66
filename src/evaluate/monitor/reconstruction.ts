import * as tf from '@tensorflow/tfjs';
import {type DenseSegment, type Past, type Segment, segmentsOf} from '../../../cache/past/past.js';
import {RopeTables} from '../../../cache/past/rope_tables.js';
import {attendedKeys} from '../../../cache/past/attend_past.js';
import type {SeenTokens} from '../../../cache/watch/watched_cache.js';
import {type Encoding, headsOf} from '../../../ops/encodings/encoding.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import {gatherRows} from '../../../ops/gather_tokens/index.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';

/** Squared Frobenius norms over the tokens that a past still holds. */
export interface ReconstructionSquares {
  readonly keyError: number;
  readonly keyEnergy: number;
  readonly valueError: number;
  readonly valueEnergy: number;
}

/**
 * How far the keys and values that a past stores are from those that came in: ||K' - K||^2 and ||K||^2, tokens held only.
 * Segment by segment, decoded: for the monitor, not for the hot path.
 *
 * @param exact the same tokens, dense, from position 0 on, keys rotated.
 * @param rope how the model rotates keys.
 * @param latentsOf what the keys that came in are latents of.
 */
export async function reconstructionSquares(
  past: Past,
  exact: DenseSegment,
  rope: RopeConfig | undefined,
  latentsOf: SeenTokens['latentsOf'] = {},
): Promise<ReconstructionSquares> {
  const sums = tf.tidy(() => {
    const isRotated = latentsOf.keyBasis === undefined; // of the keys as they are stored
    const met = (stored: Encoding) => attendedKeys(stored, {scale: 1, ...latentKeysFor(latentsOf, stored)});
    const unrotated = unrotatedKeys(exact, rope);
    const perSegment = segmentsOf(past).map(segment => {
      const {values, tokens} = segment;
      const keys = met(segment.keys);
      const isUnrotated = !isRotated || (keys.kind === 'lowRank' && keys.rotate === true);
      const exactKeys = isUnrotated ? unrotated() : exact.keys.data;
      return tf.stack([
        ...squares(decodeEncoding(keys, 0, tokens), tokensOf(exactKeys, segment)),
        ...squares(decodeEncoding(values, 0, tokens), tokensOf(exact.values.data, segment)),
      ]);
    });
    return tf.addN(perSegment);
  });
  const [keyError = 0, keyEnergy = 0, valueError = 0, valueEnergy = 0] = await sums.data();
  sums.dispose();
  return {keyError, keyEnergy, valueError, valueEnergy};
}

function latentKeysFor({keyBasis, keyMean}: NonNullable<SeenTokens['latentsOf']>, stored: Encoding) {
  if (keyBasis === undefined) return {};
  const {batch} = headsOf(stored);
  const ofBatch = (x: tf.Tensor4D): tf.Tensor4D => tf.tile(x, [batch, 1, 1, 1]);
  const basis = ofBatch(tf.expandDims<tf.Tensor4D>(keyBasis, 0));
  const mean = keyMean && ofBatch(tf.reshape(keyMean, [1, keyMean.shape[0], 1, keyMean.shape[1]]));
  return {latentKeys: {basis, mean}};
}

function squares(decoded: tf.Tensor4D, exact: tf.Tensor4D): tf.Tensor[] {
  return [tf.sum(tf.squaredDifference(decoded, exact)), tf.sum(tf.square(exact))];
}

/** The exact tokens that a segment holds, in its order: a run, or each head its own. */
function tokensOf(exact: tf.Tensor4D, {positions, tokens}: Segment): tf.Tensor4D {
  if (typeof positions === 'number') return tf.slice(exact, [0, 0, positions, 0], [-1, -1, tokens, -1]);
  const held = tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  return gatherRows(exact, tf.cast(tf.squeeze<tf.Tensor3D>(held, [3]), 'int32'));
}

/** Exact keys as they were before their rotation, made once where a segment asks for them. */
function unrotatedKeys({keys, tokens}: DenseSegment, rope: RopeConfig | undefined): () => tf.Tensor4D {
  let made: tf.Tensor4D | undefined;
  return () => {
    if (made !== undefined || rope === undefined) return made ?? keys.data;
    const tables = new RopeTables(rope, keys.dim);
    made = rotate(tf.slice(keys.data, [0, 0, 0, 0], [-1, -1, tokens, -1]), tables.inverse(0, tokens));
    tables.dispose();
    return made;
  };
}
