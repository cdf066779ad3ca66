import * as tf from '@tensorflow/tfjs';

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
  const lookup = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [rowsOfTable, save] = args as [tf.Tensor2D, tf.GradSaveFunc];
    save([flat]); // the caller's tidy may end before the backward pass
    return {
      value: tf.gather(rowsOfTable, flat),
      gradFunc: (dy: tf.Tensor, [savedIds]: tf.Tensor[]) =>
        tf.matMul(tf.transpose(tf.oneHot(savedIds as tf.Tensor1D, rows) as tf.Tensor2D), dy),
    };
  });
  return tf.reshape(lookup(table), [batch, tokens, dim]);
}
