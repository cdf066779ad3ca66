import * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../../encodings/index.js';
import {project} from '../../low_rank/index.js';
import type {StoredKeys} from './types.js';

/** Queries and keys of the same dim: that of the latents, if keys need no rotation. */
interface EffectiveKeys {
  readonly queries: tf.Tensor4D;
  readonly keys: StoredKeys;
  /** float32 `[batch, heads, queryTokens, 1]`: what has to be added to each score, if keys have a mean. */
  readonly shift?: tf.Tensor4D;
}

/**
 * Brings queries to where keys are: `scale * q . (z basis + mean) = scale * (q basis^T) . z + shift` with
 * `shift = scale * q . mean`. Keys of other encodings, and those still to be rotated, are attended as they are stored.
 */
export function inLatentSpace(queries: tf.Tensor4D, keys: Encoding, scale: number): EffectiveKeys {
  if (keys.kind !== 'lowRank') return {queries, keys};
  if (keys.rotate === true) return {queries, keys: {...keys, rotate: keys.rotate}};
  const projected = project(queries, keys.basis);
  if (keys.mean === undefined) return {queries: projected, keys: keys.latents};
  return {
    queries: projected,
    keys: keys.latents,
    shift: tf.mul<tf.Tensor4D>(project(queries, keys.mean), scale),
  };
}
