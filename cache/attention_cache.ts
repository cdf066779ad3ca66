import type * as tf from '@tensorflow/tfjs';
import type {FreshTokens} from './past/fresh_tokens.js';

/** The cache as an attention layer sees it: a `KVCache`, or an object that wraps one to observe or change attention. */
export interface AttentionCache {
  /** Tokens that passed through all layers; also the position of the next token. */
  readonly tokens: number;
  /** See `KVCacheOptions`. */
  readonly beyondContext?: boolean;
  /** See `KVCache.attend`. */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D;
}
