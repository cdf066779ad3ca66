import type * as tf from '@tensorflow/tfjs';
import type {QueryGrowth} from '../../layers/qk_norm.js';
import type {Projected} from '../../layers/self_attention.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';

/** Dense weights of an attention layer: row-major, projections `[inputs, outputs]`, the outputs of the heads side by side. */
export interface DenseWeights {
  /** `[model dim, heads * headDim]` */
  readonly query: Float32Array;
  /** `[model dim, kvHeads * headDim]` */
  readonly key: Float32Array;
  /** `[model dim, kvHeads * headDim]` */
  readonly value: Float32Array;
  /** `[heads * headDim, model dim]` */
  readonly output: Float32Array;
  readonly queryBias?: Float32Array;
  readonly keyBias?: Float32Array;
  readonly valueBias?: Float32Array;
  readonly outputBias?: Float32Array;
}

/** What a layer computes before and after its attention: on the backend, with its weights at the time of the call. */
export interface AttentionParts {
  /** Queries, keys and values of hidden states `[batch, tokens, model dim]`, not rotated. */
  project(x: tf.Tensor): Projected;
  /**
   * The layer's output `[batch, tokens, model dim]`.
   * @param attended attention `[batch, heads, tokens, headDim]`.
   * @param x the layer's input `[batch, tokens, model dim]`, for layers with a residual or a gate inside.
   */
  output(attended: tf.Tensor4D, x: tf.Tensor): tf.Tensor;
}

/** An attention layer of a model, as compression and caches need to know it. */
export interface DenseAttention {
  readonly layer: tf.layers.Layer;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads; divides `heads`. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Rotary positions. Default: none. */
  readonly rope?: RopeConfig;
  /** Factor of the scores. Default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Tokens that each token attends to, itself included. Default: all tokens before it. */
  readonly window?: number;
  /** The bound c of the scores, c tanh(s / c). Default: none. */
  readonly softCap?: number;
  /** Whether scores fall with the distance (ALiBi). Default false. */
  readonly alibi?: boolean;
  /** The biases by head and distance, at the time of the call: see `ScoringOptions.relativeBias`. Such layers cannot be compressed, their caches can. Default: none. */
  readonly relativeBias?: () => tf.Tensor2D;
  /** How queries grow with their position: see `QueryGrowth`. Default: they do not. */
  readonly queryGrowth?: QueryGrowth;
  /** Whether queries and keys are normalised after their projections. Such layers cannot be compressed, their caches can. Default false. */
  readonly normalises?: boolean;
  /** The most tokens that the layer takes. Default: no limit. */
  readonly contextLength?: number;
  /** For `attachCache`; absent if the layer takes a cache itself. */
  readonly parts?: AttentionParts;
  /** For `calibrate` and `compress`. */
  read(): Promise<DenseWeights>;
}

/** How to read one class of attention layers. Adding one is a file in this folder and a line in `registry.ts`. */
export interface AttentionAdapter {
  /** The layer's class name, as `getClassName()` gives it. */
  readonly className: string;
  /** @throws ModelError if the layer computes something that a description cannot say. */
  describe(layer: tf.layers.Layer): DenseAttention;
}
