import * as tf from '@tensorflow/tfjs';

/** `data` float32 or int32 `[batch, kvHeads, rows, columns]`, `indices` int32 `[batch, kvHeads, kept]`. */
export type GatherRowsInputs = {data: tf.Tensor4D; indices: tf.Tensor3D};

export interface GatherRowsAttributes {
  /** Consecutive rows that one index stands for: index i for the rows from `i * blockRows`. */
  readonly blockRows: number;
  /** The columns of each head, if heads lie side by side: data and result are `[batch, 1, rows, sum of these]` then. */
  readonly headColumns?: readonly number[];
}

/** Blocks of rows of each head, in plain tfjs ops. */
export function gatherRowsReference(
  {data, indices}: GatherRowsInputs,
  {blockRows, headColumns}: GatherRowsAttributes,
): tf.Tensor4D {
  if (headColumns === undefined) return gatherBlocks(data, indices, blockRows);
  const heads = tf.split<tf.Tensor4D>(data, [...headColumns], 3);
  const ofHeads = tf.split<tf.Tensor3D>(indices, headColumns.length, 1);
  return tf.concat(
    heads.map((head, index) => gatherBlocks(head, ofHeads[index]!, blockRows)),
    3,
  );
}

/** One flat gather, since a gather with batchDims is wrong on wasm. */
function gatherBlocks(data: tf.Tensor4D, indices: tf.Tensor3D, blockRows: number): tf.Tensor4D {
  const [batch, kvHeads, rows, columns] = data.shape;
  const heads = batch * kvHeads;
  const kept = indices.shape[2];
  const firstRows = tf.mul(tf.reshape(indices, [heads, kept, 1]), tf.scalar(blockRows, 'int32'));
  const headRows = tf.mul(tf.range(0, heads, 1, 'int32'), tf.scalar(rows, 'int32'));
  const inBlock = tf.reshape(tf.range(0, blockRows, 1, 'int32'), [1, 1, blockRows]);
  const flat = tf.add(tf.add(firstRows, tf.reshape(headRows, [heads, 1, 1])), inBlock);
  const gathered = tf.gather(tf.reshape(data, [heads * rows, columns]), tf.reshape(flat, [-1]));
  return tf.reshape(gathered, [batch, kvHeads, kept * blockRows, columns]);
}
