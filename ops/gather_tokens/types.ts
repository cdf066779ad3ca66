import type * as tf from '@tensorflow/tfjs';

/** `data` float32 or int32 `[batch, kvHeads, rows, columns]`, `indices` int32 `[batch, kvHeads, kept]`. */
export type GatherRowsInputs = {data: tf.Tensor; indices: tf.Tensor};

export interface GatherRowsAttributes {
  /** Consecutive rows that one index stands for: index i for the rows from `i * blockRows`. */
  readonly blockRows: number;
}
