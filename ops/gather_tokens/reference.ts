import * as tf from '@tensorflow/tfjs';

/** Rows of each head, in plain tfjs ops: one flat gather, since a gather with batchDims is wrong on wasm. */
export function gatherRowsReference({data, indices}: {data: tf.Tensor; indices: tf.Tensor}): tf.Tensor {
  const [batch, kvHeads, rows, columns] = data.shape as [number, number, number, number];
  const heads = batch * kvHeads;
  const kept = indices.shape[2]!;
  const firstRows = tf.mul(tf.range(0, heads, 1, 'int32'), tf.scalar(rows, 'int32'));
  const flat = tf.add(tf.reshape(indices, [heads, kept]), tf.reshape(firstRows, [heads, 1]));
  const gathered = tf.gather(tf.reshape(data, [heads * rows, columns]), tf.reshape(flat, [-1]));
  return tf.reshape(gathered, [batch, kvHeads, kept, columns]);
}
