import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions, flag} from '../../base/options.js';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {type Windowed, windowAt} from './held_tokens.js';

/** The part of a model's config that determines the size of its cache. */
export interface CachedShape extends Windowed {
  /** Number of key and value heads per layer. */
  readonly kvHeads: number;
  /** Numbers per key and per value of one head. */
  readonly headDim: number;
  /** Rotary positions, for policies that store unrotated keys and therefore need tables. Default: none. */
  readonly rope?: RopeConfig;
}

/** A model's config has other keys besides. */
const shapeSchema = v.looseObject({
  depths: atLeast(1),
  kvHeads: atLeast(1),
  headDim: atLeast(1),
  rope: v.optional(
    v.custom<RopeConfig>(given => typeof given === 'object', 'expected a rotary configuration'),
  ), // attention checks the rest
  window: v.optional(atLeast(1)),
  windowed: v.optional(v.array(flag)),
});
const tokensSchema = v.strictObject({tokens: atLeast(1)});

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
 *
 * @throws InvalidArgumentError if a size of the shape or `tokens` is no whole number above 0, or the plan cannot be read.
 */
export function cacheBytes(
  shape: CachedShape,
  plan: PlanLike,
  tokens: number,
): Pick<KVCache, 'byteSize' | 'sharedBytes'> {
  const {depths, kvHeads, headDim, rope, ...windows} = checkOptions(
    'The shape of a cache',
    shapeSchema,
    shape,
  );
  checkOptions('cacheBytes', tokensSchema, {tokens});
  // query heads of a group share keys and values, so their number does not matter
  const shapes = uniformShapes({depths, heads: kvHeads, headDim}).map(one => ({
    ...one,
    window: windowAt({depths, ...windows}, one.depth),
  }));
  const cache = new KVCache(shapes, plan, {expectedTokens: tokens});
  try {
    for (let start = 0; start < tokens; start += chunk) {
      tf.tidy(() => {
        const zeros = tf.zeros<tf.Rank.R4>([1, kvHeads, Math.min(chunk, tokens - start), headDim]);
        const fresh = {queries: zeros, keys: zeros, values: zeros};
        for (const {depth, window} of shapes) cache.attend(depth, {...fresh, rope, window});
      });
    }
    const {byteSize, sharedBytes} = cache;
    return {byteSize, sharedBytes};
  } finally {
    cache.dispose();
  }
}
