import type * as tf from '@tensorflow/tfjs';
import type {RopeConfig} from '../../../ops/rotate/rope.js';

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

/** An attention layer of a model, as compression sees it. */
export interface DenseAttention {
  readonly layer: tf.layers.Layer;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly rope?: RopeConfig;
  read(): Promise<DenseWeights>;
}

/** How to read one kind of attention layer. Adding one is a file in this folder and a line in its index. */
export interface AttentionAdapter {
  /** The layer's class, as `getClassName()` gives it. */
  readonly className: string;
  /** @throws ModelError where this layer computes something that cannot be converted. */
  describe(layer: tf.layers.Layer): DenseAttention;
}
