import * as tf from '@tensorflow/tfjs';
import {uniformRows} from '../../cache/cache_row.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {Plan} from '../../cache/plan.js';
import type {Policy} from '../../cache/policy.js';

/** What of a model's config its cache depends on. */
export interface CachedShape {
  readonly depths: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Tokens that go through the cache at a time. */
const chunk = 128;

/**
 * The bytes a token that a policy stores after `tokens` of them, measured on a real cache of zeros: scales, exact recent
 * tokens and spare room included. Each depth goes through alone, without the rest of a model.
 */
export function cacheBytesPerToken(
  {depths, kvHeads, headDim}: CachedShape,
  plan: Plan | Policy,
  tokens: number,
): number {
  // groups of query heads share what is stored
  const rows = uniformRows({depths, heads: kvHeads, headDim});
  const cache = new KVCache(rows, plan, {expectedTokens: tokens});
  try {
    for (let start = 0; start < tokens; start += chunk) {
      const shape: [number, number, number, number] = [1, kvHeads, Math.min(chunk, tokens - start), headDim];
      tf.tidy(() => {
        const zeros = tf.zeros<tf.Rank.R4>(shape);
        for (const {depth} of rows) cache.attend(depth, {queries: zeros, keys: zeros, values: zeros});
      });
    }
    return cache.byteSize / tokens;
  } finally {
    cache.dispose();
  }
}
