import * as tf from '@tensorflow/tfjs';
import type {Encoding, LowRankEncoding} from '../../encodings/encoding.js';
import {project} from '../../low_rank/index.js';
import type {StoredKeys} from './stored_keys.js';

/** Queries and keys of the same dim: that of the latents, where keys need no rotation. */
export interface Meeting {
  readonly queries: tf.Tensor4D;
  readonly keys: StoredKeys;
  /** float32 `[batch, heads, queryTokens, 1]`: what is missing of each score, where keys have a mean. */
  readonly shift?: tf.Tensor4D;
}

/**
 * Brings queries to where keys are: `scale * q . (z basis + mean) = scale * (q basis^T) . z + shift` with
 * `shift = scale * q . mean`. Keys of other encodings, and those to be rotated, are met as they are.
 */
export function inLatentSpace(queries: tf.Tensor4D, keys: Encoding, scale: number): Meeting {
  if (keys.kind !== 'lowRank' || isRotatedLater(keys)) return {queries, keys};
  const projected = project(queries, keys.basis);
  if (keys.mean === undefined) return {queries: projected, keys: keys.latents};
  return {
    queries: projected,
    keys: keys.latents,
    shift: tf.mul<tf.Tensor4D>(project(queries, keys.mean), scale),
  };
}

function isRotatedLater(keys: LowRankEncoding): keys is LowRankEncoding & {readonly rotate: true} {
  return keys.rotate === true;
}
