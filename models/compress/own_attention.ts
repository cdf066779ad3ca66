import type {AttentionCache} from '../../cache/attention_cache.js';
import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import type * as tf from '@tensorflow/tfjs';
import {attendOverItself} from '../../layers/cached_attention.js';

/**
 * Attention of one text over itself, with something changed on the way: `model.apply(ids, {cache: new OwnAttention(change)})`.
 * Stores nothing and is differentiable.
 */
export class OwnAttention implements AttentionCache {
  readonly tokens = 0;

  constructor(private readonly change: (depth: number, fresh: FreshTokens) => FreshTokens) {}

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    return attendOverItself(this.change(depth, fresh));
  }
}
