import * as tf from '@tensorflow/tfjs';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';

/** The part of a model's config that decides the size of its cache. */
export interface CachedShape {
  readonly depths: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Rotary positions, for policies that store keys before rotation and keep tables. Default: none. */
  readonly rope?: RopeConfig;
}

/** Tokens that come into the cache at a time. */
const chunk = 128;

/** Of the keys and values of all tokens that a cache has seen, as float32. */
export function float32BytesOf(cache: KVCache): number {
  return cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0);
}

/** Bytes per token that a plan stores after `tokens` tokens: see `cacheBytes`. */
export function cacheBytesPerToken(shape: CachedShape, plan: PlanLike, tokens: number): number {
  return cacheBytes(shape, plan, tokens).byteSize / tokens;
}

/**
 * Bytes that a plan stores of `tokens` tokens, measured on a real cache of zeros: with scales, exact recent tokens and spare
 * capacity. No model runs.
 */
export function cacheBytes(
  {depths, kvHeads, headDim, rope}: CachedShape,
  plan: PlanLike,
  tokens: number,
): Pick<KVCache, 'byteSize' | 'sharedBytes'> {
  // query heads of a group share what is stored, so their number does not count
  const shapes = uniformShapes({depths, heads: kvHeads, headDim});
  const cache = new KVCache(shapes, plan, {expectedTokens: tokens});
  try {
    for (let start = 0; start < tokens; start += chunk) {
      const shape: [number, number, number, number] = [1, kvHeads, Math.min(chunk, tokens - start), headDim];
      tf.tidy(() => {
        const zeros = tf.zeros<tf.Rank.R4>(shape);
        const fresh = {queries: zeros, keys: zeros, values: zeros};
        for (const {depth} of shapes) cache.attend(depth, {...fresh, rope});
      });
    }
    const {byteSize, sharedBytes} = cache;
    return {byteSize, sharedBytes};
  } finally {
    cache.dispose();
  }
}
