import type {Policy} from '../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {Plan} from '../../cache/plans/plan.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';

/** What of a model's config its cache depends on. */
export interface CachedShape {
  readonly depths: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Rotary positions: policies that store keys before their rotation keep tables of them. Default: none. */
  readonly rope?: RopeConfig;
}

/** Tokens that go through the cache at a time. */
const chunk = 128;

/** The bytes a token that a policy stores after `tokens` of them: see `cacheBytes`. */
export function cacheBytesPerToken(shape: CachedShape, plan: Plan | Policy, tokens: number): number {
  return cacheBytes(shape, plan, tokens).byteSize / tokens;
}

/**
 * The bytes that a policy stores of `tokens` tokens, measured on a real cache of zeros: scales, exact recent tokens and spare
 * room included. Each depth goes through alone, without the rest of a model.
 */
export function cacheBytes(
  {depths, kvHeads, headDim, rope}: CachedShape,
  plan: Plan | Policy,
  tokens: number,
): Pick<KVCache, 'byteSize' | 'sharedBytes'> {
  // groups of query heads share what is stored
  const rows = uniformShapes({depths, heads: kvHeads, headDim});
  const cache = new KVCache(rows, plan, {expectedTokens: tokens});
  try {
    for (let start = 0; start < tokens; start += chunk) {
      const shape: [number, number, number, number] = [1, kvHeads, Math.min(chunk, tokens - start), headDim];
      tf.tidy(() => {
        const zeros = tf.zeros<tf.Rank.R4>(shape);
        const fresh = {queries: zeros, keys: zeros, values: zeros};
        for (const {depth} of rows) cache.attend(depth, {...fresh, rope});
      });
    }
    const {byteSize, sharedBytes} = cache;
    return {byteSize, sharedBytes};
  } finally {
    cache.dispose();
  }
}
