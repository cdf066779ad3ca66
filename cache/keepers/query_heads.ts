import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';

// What keepers that compute one number per query head share.

/** Repeats each key head for the query heads of its group: `[batch, kvHeads, tokens, dim]` to `[batch, heads, tokens, dim]`. */
export function toQueryHeads(x: tf.Tensor4D, heads: number): tf.Tensor4D {
  const [batch, kvHeads, tokens, dim] = x.shape;
  if (heads === kvHeads) return x;
  const ofGroups = tf.tile(tf.reshape(x, [batch * kvHeads, 1, tokens, dim]), [1, heads / kvHeads, 1, 1]);
  return tf.reshape(ofGroups, [batch, heads, tokens, dim]);
}

/** Sums over the query heads of each key head: `[batch, heads, tokens, 1]` to `[batch, kvHeads, tokens, 1]`. */
export function sumOfGroups(x: tf.Tensor4D, kvHeads: number): tf.Tensor4D {
  const [batch, heads, tokens] = x.shape;
  return tf.reshape(tf.sum(tf.reshape(x, [batch * kvHeads, heads / kvHeads, tokens]), 1), [
    batch,
    kvHeads,
    tokens,
    1,
  ]);
}

/**
 * Returns x G for each query head, with G its output metric: float32 `[batch, heads, rows, dimV]`, as x. Without a metric, x itself.
 * @param metric float32 `[heads, dimV, dimV]`.
 */
export function timesMetric(x: tf.Tensor4D, metric: tf.Tensor3D | undefined): tf.Tensor4D {
  if (metric === undefined) return x;
  const ofTexts = tf.expandDims<tf.Tensor4D>(metric, 0);
  return batchedMatMul(x, x.shape[0] === 1 ? ofTexts : tf.tile(ofTexts, [x.shape[0], 1, 1, 1]));
}

/** The product of two vectors of each row: `[batch, heads, rows, 1]`. */
export function dots(a: tf.Tensor4D, b: tf.Tensor4D): tf.Tensor4D {
  return tf.sum(tf.mul(a, b), 3, true);
}
