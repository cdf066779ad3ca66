import type * as tf from '@tensorflow/tfjs';
import type {FreshTokens} from './past/fresh_tokens.js';

/** What an attention layer asks of a past: `KVCache`, or whatever stands in for it to watch or to change the attention. */
export interface AttentionCache {
  /** Tokens that went through the whole model: the position of the next one. */
  readonly tokens: number;
  /** See `KVCacheOptions`. */
  readonly beyondContext?: boolean;
  /** See `KVCache.attend`. */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D;
}
