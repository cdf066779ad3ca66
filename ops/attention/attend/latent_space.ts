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
  /** What products of these are multiplied by. */
  readonly scale: number;
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
  options: {readonly scale: number; readonly keyRotation?: KeyRotation | undefined},
): EffectiveKeys {
  if (keys.kind !== 'lowRank') return {queries, keys, scale: options.scale};
  if (keys.rotate === true) return {queries, keys: {...keys, rotate: keys.rotate}, scale: options.scale};
  const {enlarged, scale} = withRoom(queries, options.scale);
  const effective = {queries: project(enlarged, floatBasis(keys.basis)), keys: keys.latents, scale};
  const {mean, rotatedMean} = keys;
  const constant = mean === undefined ? undefined : project(enlarged, mean);
  if (rotatedMean === undefined) return {...effective, ...scaled(constant, scale)};
  if (options.keyRotation === undefined) throw missingRotation('have a rotated mean');
  const {angles, rest} = meanAngles(enlarged, rotatedMean, options.keyRotation);
  const sum = constant && rest ? tf.add<tf.Tensor4D>(constant, rest) : (constant ?? rest);
  return {...effective, ...scaled(sum, scale), angles};
}

/**
 * Queries with a scale that is as much smaller. Projected ones may be far smaller than they were (those of 1e-36, for keys of 1e36), and TensorFlow takes
 * subnormal numbers for zeros.
 */
function withRoom(queries: tf.Tensor4D, scale: number): {enlarged: tf.Tensor4D; scale: number} {
  if (tf.getBackend() !== 'tensorflow') return {enlarged: queries, scale};
  return {enlarged: tf.mul(queries, 2 ** 12), scale: scale * 2 ** -12};
}

const scaled = (shift: tf.Tensor4D | undefined, scale: number) =>
  shift === undefined ? {} : {shift: tf.mul<tf.Tensor4D>(shift, scale)};
