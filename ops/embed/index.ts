import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';

/**
 * Rows of a table by id: `out[b, t] = table[ids[b, t]]`. Differentiable in the table on every backend (the gradient of
 * tf.gather needs a kernel that wasm lacks): dTable = onehot(ids)^T dy.
 *
 * @param ids int32 `[batch, tokens]`, each from 0 to rows - 1 (not checked: backends differ in what they do beyond).
 * @param table float32 `[rows, dim]`.
 * @returns float32 `[batch, tokens, dim]`.
 */
export function embed(ids: tf.Tensor2D, table: tf.Tensor2D): tf.Tensor3D {
  const [batch, tokens] = ids.shape;
  const [rows, dim] = table.shape;
  const flat: tf.Tensor1D = tf.cast(tf.reshape(ids, [batch * tokens]), 'int32');
  const looked = differentiable(
    [table],
    [flat],
    () => tf.gather(table, flat),
    (dy, [savedIds]) => tf.matMul(tf.transpose(tf.oneHot(savedIds as tf.Tensor1D, rows) as tf.Tensor2D), dy),
  );
  return tf.reshape(looked, [batch, tokens, dim]);
}
