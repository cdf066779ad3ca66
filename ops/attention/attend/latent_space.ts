import * as tf from '@tensorflow/tfjs';
import {floatBasis} from '../../encodings/decode.js';
import type {Encoding} from '../../encodings/index.js';
import {project} from '../../low_rank/index.js';
import {missingRotation} from './stored_keys.js';
import {meanAngles} from './mean_angles.js';
import type {KeyRotation, StoredKeys} from './types.js';

/** Queries and keys of the same dim: that of the latents, if keys need no rotation. */
interface EffectiveKeys {
  readonly queries: tf.Tensor4D;
  readonly keys: StoredKeys;
  /** float32 `[batch, heads, queryTokens, 1]`: what has to be added to each score, if keys have a mean. */
  readonly shift?: tf.Tensor4D;
  /** What the rotated mean of the keys adds to scores, by the angles of each token: see `meanAngles`. */
  readonly angles?: tf.Tensor4D;
}

/**
 * Brings queries to where keys are: `scale * q . (z basis + mean) = scale * (q basis^T) . z + shift` with
 * `shift = scale * q . mean`. A mean that is rotated to each token's position becomes `angles`. Keys of other encodings, and those still
 * to be rotated, are attended as they are stored.
 */
export function inLatentSpace(
  queries: tf.Tensor4D,
  keys: Encoding,
  {scale, keyRotation}: {readonly scale: number; readonly keyRotation?: KeyRotation | undefined},
): EffectiveKeys {
  if (keys.kind !== 'lowRank') return {queries, keys};
  if (keys.rotate === true) return {queries, keys: {...keys, rotate: keys.rotate}};
  const effective = {queries: project(queries, floatBasis(keys.basis)), keys: keys.latents};
  const {mean, rotatedMean} = keys;
  const constant = mean === undefined ? undefined : project(queries, mean);
  if (rotatedMean === undefined) return {...effective, ...scaled(constant, scale)};
  if (keyRotation === undefined) throw missingRotation('have a rotated mean');
  const {angles, rest} = meanAngles(queries, rotatedMean, keyRotation);
  const sum = constant && rest ? tf.add<tf.Tensor4D>(constant, rest) : (constant ?? rest);
  return {...effective, ...scaled(sum, scale), angles};
}

const scaled = (shift: tf.Tensor4D | undefined, scale: number) =>
  shift === undefined ? {} : {shift: tf.mul<tf.Tensor4D>(shift, scale)};
