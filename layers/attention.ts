import * as tf from '@tensorflow/tfjs';
import {SelfAttention, type SelfAttentionArgs} from './self_attention.js';

export type AttentionArgs = SelfAttentionArgs;

/**
 * Causal self-attention with its four projections (Vaswani et al., 2017, arXiv 1706.03762), grouped-query heads (Ainslie
 * et al., 2023, arXiv 2305.13245) and rotary positions (Su et al., 2021, arXiv 2104.09864).
 *
 *     q, k, v = x W_q + b_q, x W_k + b_k, x W_v + b_v        out = attention(q, k, v) W_o + b_o
 *
 * Input and output float32 `[batch, tokens, model dim]`. A second input of the same shape is added to the output, as the residual sum of
 * a block is: `attention.apply([norm.apply(x), x])`. With `model.apply(x, {cache})` the tokens attend to the tokens of the
 * cache and to themselves, and are added to it; without a cache they attend to themselves (differentiable, for training).
 */
export class Attention extends SelfAttention {
  /** @nocollapse */
  static readonly className = 'EigenkvAttention';
}

tf.serialization.registerClass(Attention);

/** Causal self-attention with a cache; see `Attention`. */
export function attention(args: AttentionArgs): Attention {
  return new Attention(args);
}
