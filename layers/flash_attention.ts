import type {LayerShape} from '../cache/binding/layer_shape.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {SelfAttention, type SelfAttentionArgs} from './self_attention.js';

export interface FlashAttentionArgs extends SelfAttentionArgs {
  /**
   * Rank of the past's decomposition as a share of the head's dim, above 0, at most 1: in a cache without a plan, this layer's
   * keys and values are stored by `onlineSvd`. Default: none; they are stored as they are.
   */
  compressionRatio?: number;
}

/**
 * Causal self-attention without a matrix of tokens x tokens, forward or backward (FlashAttention, Dao et al., 2022, arXiv
 * 2205.14135): the attention of every layer here, with a compression of its past that it brings along. Each step is exact in
 * its own tokens; the past is a truncated singular value decomposition of rank `compressionRatio * headDim` that grows with
 * the text (see `onlineSvd`). A cache with a plan goes before.
 *
 * The options, shapes and weights are those of `Attention`.
 */
export class FlashAttention extends SelfAttention {
  /** @nocollapse */
  static readonly className = 'EigenkvFlashAttention';
  private readonly compressionRatio: number | undefined;

  constructor(args: FlashAttentionArgs) {
    super(args);
    const {compressionRatio: ratio, cachePolicy} = args;
    if (ratio !== undefined && !(ratio > 0 && ratio <= 1)) {
      throw new InvalidArgumentError(
        `${this.name}: compressionRatio = ${ratio}; expected a number above 0, at most 1.`,
      );
    }
    if (ratio !== undefined && cachePolicy !== undefined) {
      throw new InvalidArgumentError(
        `${this.name}: compressionRatio is a cachePolicy of its own (onlineSvd); give one of them.`,
      );
    }
    this.compressionRatio = ratio;
  }

  override get layerShape(): LayerShape {
    const row = super.layerShape;
    if (this.compressionRatio === undefined) return row;
    const rank = Math.max(1, Math.round(this.compressionRatio * this.headDim));
    return {...row, policy: {name: 'onlineSvd', options: {rank}}};
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {compressionRatio} = this;
    return {...super.getConfig(), ...(compressionRatio !== undefined && {compressionRatio})};
  }
}

tf.serialization.registerClass(FlashAttention);

/** Causal attention that brings its past's compression along; see `FlashAttention`. */
export function flashAttention(args: FlashAttentionArgs): FlashAttention {
  return new FlashAttention(args);
}
