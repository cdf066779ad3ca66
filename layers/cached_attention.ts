import type {AttentionCache} from '../cache/attention_cache.js';
import type {FreshTokens} from '../cache/past/fresh_tokens.js';
import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../base/errors.js';
import {causalAttention} from '../ops/attention/causal/index.js';
import {type ScoringOptions, checkScoring, scoringOf} from '../ops/attention/scoring.js';
import {rotateBoth} from '../ops/rotate/index.js';
import {type RopeConfig, rotationFor} from '../ops/rotate/rope.js';

export interface CachedAttentionOptions extends ScoringOptions {
  /** The cache whose tokens are attended to, and that the given tokens are added to. Default: none; differentiable. */
  readonly cache?: AttentionCache | undefined;
  /** Index of this attention among those of the model, from 0: where the cache stores its tokens. Default 0. */
  readonly depth?: number;
  /** Rotary positions, if queries and keys are **not** rotated yet. Default: none, no rotation. */
  readonly rope?: RopeConfig | undefined;
  /** The layer that calls, `this` in a layer: a cache refuses tokens of another model's layer. Default: none, not checked. */
  readonly layer?: object;
}

/**
 * Causal attention as a plain function, for code that has no tf.layers:
 *
 *     softmax(scale q k^T) v    over the cache's tokens and those given, each query up to its own token
 *
 * Other scores are options: see `Scoring`.
 * With a cache the tokens are stored there, compressed by the cache's plan; give only new tokens in each step. A cache without a
 * model is made from sizes: `new KVCache(uniformShapes({depths, heads, headDim}), plan)`.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`.
 * @param keys float32 `[batch, kvHeads, tokens, dim]`; kvHeads divides heads.
 * @param values float32 `[batch, kvHeads, tokens, dimV]`.
 * @returns float32 `[batch, heads, tokens, dimV]`.
 * @throws InvalidArgumentError if an option is not allowed, or if shapes do not fit the cache; the cache does not change then.
 */
export function cachedAttention(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  {cache, depth = 0, ...options}: CachedAttentionOptions = {},
): tf.Tensor4D {
  const fresh = {queries, keys, values, ...options};
  if (cache === undefined) return attendOverItself(fresh);
  expectCache(cache);
  return cache.attend(depth, fresh);
}

/** Callers in plain JavaScript may give anything as `{cache}`. */
function expectCache(given: unknown): void {
  if (typeof given === 'object' && given !== null && 'attend' in given) return;
  throw new InvalidArgumentError(
    `{cache: ${shown(given)}} is not a cache; expected a KVCache of this model, or no cache.`,
  );
}

/** Causal attention of a text over itself, without a cache; differentiable. */
export function attendOverItself({queries, keys, values, rope, ...options}: FreshTokens): tf.Tensor4D {
  const [, heads, tokens, dim] = queries.shape;
  checkScoring(options, {heads, kvHeads: keys.shape[1]}, 'Attention without a cache');
  const scoring = scoringOf(options, dim);
  if (rope === undefined) return causalAttention(queries, keys, values, scoring);
  const rotation = rotationFor(rope, dim, 0, tokens);
  return causalAttention(...rotateBoth(queries, keys, rotation), values, scoring);
}
