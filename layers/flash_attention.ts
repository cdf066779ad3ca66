import type {LayerShape} from '../cache/binding/layer_shape.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {configOf} from './layer_args.js';
import {SelfAttention, type SelfAttentionArgs} from './self_attention.js';

export interface FlashAttentionArgs extends SelfAttentionArgs {
  /**
   * In a cache without a plan, this layer's keys and values are stored by `onlineSvd` with a rank of this share of the head's dim:
   * above 0, at most 1. Default: none, which is `full`.
   */
  compressionRatio?: number;
}

/**
 * Causal self-attention that never builds a tokens x tokens matrix, forward or backward (FlashAttention, Dao et al., 2022, arXiv
 * 2205.14135), as every attention layer here, and that asks for a compression of its past. The tokens of a step are exact; the
 * past is a truncated singular value decomposition of rank `compressionRatio * headDim` that is updated as the text grows (see
 * `onlineSvd`). The plan of a cache takes precedence.
 *
 * Options, shapes and weights are those of `Attention`.
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
        `${this.name}: compressionRatio sets a cachePolicy of its own (onlineSvd); give one of them.`,
      );
    }
    this.compressionRatio = ratio;
  }

  override get layerShape(): LayerShape {
    const shape = super.layerShape;
    if (this.compressionRatio === undefined) return shape;
    const rank = Math.max(1, Math.round(this.compressionRatio * this.headDim));
    return {...shape, policy: {name: 'onlineSvd', options: {rank}}};
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf({compressionRatio: this.compressionRatio})};
  }
}

tf.serialization.registerClass(FlashAttention);

/** Causal self-attention that asks for a low-rank past; see `FlashAttention`. */
export function flashAttention(args: FlashAttentionArgs): FlashAttention {
  return new FlashAttention(args);
}
