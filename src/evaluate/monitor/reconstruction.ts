import * as tf from '@tensorflow/tfjs';
import {type DenseSegment, type Past, type Segment, segmentsOf} from '../../../cache/past/past.js';
import {decodeTokens} from '../../../cache/past/decode.js';
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
 * Computes the squared errors of the keys and values that a past holds, ||K' - K||^2, and the squares of the exact ones, ||K||^2; evicted
 * tokens are not counted. Segments are decoded one by one: for the monitor, not for the hot path.
 *
 * @param exact all tokens of the text, dense, from position 0, keys rotated.
 * @param rope the model's rotary positions.
 * @param latentsOf basis and mean of the layer's latent keys; empty if it does not compress keys.
 */
export async function reconstructionSquares(
  past: Past,
  exact: DenseSegment,
  rope: RopeConfig | undefined,
  latentsOf: SeenTokens['latentsOf'] = {},
): Promise<ReconstructionSquares> {
  const tables = rope && new RopeTables(rope, exact.keys.dim);
  const sums = tf.tidy(() => {
    const isRotated = latentsOf.keyBasis === undefined; // of the stored keys
    const attended = (stored: Encoding) =>
      attendedKeys(stored, {scale: 1, ...latentKeysFor(latentsOf, stored)});
    const unrotated = unrotatedKeys(exact, rope);
    const perSegment = segmentsOf(past).map(segment => {
      const {values, tokens} = segment;
      const keys = attended(segment.keys);
      const decoded =
        keys.kind === 'lowRank' && keys.rotatedMean !== undefined
          ? decodeTokens(segment, {rope: tables, tokensSeen: past.tokensSeen}).keys.data // adds the mean, rotated
          : decodeEncoding(keys, 0, tokens);
      const isUnrotated = !isRotated || (keys.kind === 'lowRank' && keys.rotate === true);
      const exactKeys = isUnrotated ? unrotated() : exact.keys.data;
      return tf.stack([
        ...squares(decoded, tokensOf(exactKeys, segment)),
        ...squares(decodeEncoding(values, 0, tokens), tokensOf(exact.values.data, segment)),
      ]);
    });
    return tf.addN(perSegment);
  });
  tables?.dispose();
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

/** The exact numbers of the tokens that a segment holds, in its order, for each head. */
function tokensOf(exact: tf.Tensor4D, {positions, tokens}: Segment): tf.Tensor4D {
  if (typeof positions === 'number') return tf.slice(exact, [0, 0, positions, 0], [-1, -1, tokens, -1]);
  const held = tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  return gatherRows(exact, tf.cast(tf.squeeze<tf.Tensor3D>(held, [3]), 'int32'));
}

/** Returns a function that computes the exact keys without their rotation, once. */
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
