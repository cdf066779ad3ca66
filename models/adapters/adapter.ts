import type * as tf from '@tensorflow/tfjs';
import type {Projected} from '../../layers/self_attention.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';

/** Dense weights of an attention layer, row-major, projections `[inputs, outputs]`, the heads' outputs behind each other. */
export interface DenseWeights {
  /** `[model dim, heads * headDim]` */
  readonly query: Float32Array;
  /** `[model dim, kvHeads * headDim]` */
  readonly key: Float32Array;
  readonly value: Float32Array;
  /** `[heads * headDim, model dim]` */
  readonly output: Float32Array;
  readonly queryBias?: Float32Array;
  readonly keyBias?: Float32Array;
  readonly valueBias?: Float32Array;
  readonly outputBias?: Float32Array;
}

/** What a layer does before and behind its attention, on the backend, with its weights as they are at the time of the call. */
export interface AttentionParts {
  /** Queries, keys and values of hidden states `[batch, tokens, model dim]`, not rotated. */
  project(x: tf.Tensor): Projected;
  /**
   * The layer's output `[batch, tokens, model dim]`, of attention `[batch, heads, tokens, headDim]` and of its input
   * `[batch, tokens, model dim]`, for layers that add it or gate by it.
   */
  output(attended: tf.Tensor4D, x: tf.Tensor): tf.Tensor;
}

/** An attention layer of a model: what compression and caches need to know of it. */
export interface DenseAttention {
  readonly layer: tf.layers.Layer;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly rope?: RopeConfig;
  /** Factor of the scores. Default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Tokens that each token sees, itself included, where the layer looks back no further. Default: all before it. */
  readonly window?: number;
  /** Tokens that the layer can attend to, where it has a limit. */
  readonly contextLength?: number;
  /** What `attachCache` computes with; absent in layers that take a cache themselves. */
  readonly parts?: AttentionParts;
  /** What `compressModel` computes with. */
  read(): Promise<DenseWeights>;
}

/** How to read one kind of attention layer. Adding one is a file in this folder and a line in its index. */
export interface AttentionAdapter {
  /** The layer's class, as `getClassName()` gives it. */
  readonly className: string;
  /** @throws ModelError where this layer computes something that cannot be converted. */
  describe(layer: tf.layers.Layer): DenseAttention;
}
