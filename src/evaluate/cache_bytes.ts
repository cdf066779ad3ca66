import * as tf from '@tensorflow/tfjs';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';

/** The part of a model's config that determines the size of its cache. */
export interface CachedShape {
  /** Number of attention layers. */
  readonly depths: number;
  /** Number of key and value heads per layer. */
  readonly kvHeads: number;
  /** Numbers per key and per value of one head. */
  readonly headDim: number;
  /** Rotary positions, for policies that store unrotated keys and therefore need tables. Default: none. */
  readonly rope?: RopeConfig;
}

/** Tokens per step. */
const chunk = 128;

/** Returns the bytes of the keys and values of all tokens that a cache has seen, as float32. */
export function float32BytesOf(cache: KVCache): number {
  return cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0);
}

/** Returns the bytes per token of a plan at a context of `tokens` tokens: see `cacheBytes`. */
export function cacheBytesPerToken(shape: CachedShape, plan: PlanLike, tokens: number): number {
  return cacheBytes(shape, plan, tokens).byteSize / tokens;
}

/**
 * Returns the bytes that a plan stores at a context of `tokens` tokens, with scales, exact recent tokens and spare capacity. They are
 * measured on a cache of zeros; no model runs.
 */
export function cacheBytes(
  {depths, kvHeads, headDim, rope}: CachedShape,
  plan: PlanLike,
  tokens: number,
): Pick<KVCache, 'byteSize' | 'sharedBytes'> {
  // query heads of a group share keys and values, so their number does not matter
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
