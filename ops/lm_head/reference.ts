import * as tf from '@tensorflow/tfjs';

export type LmHeadInputs = {x: tf.Tensor; embedding: tf.Tensor2D};

/** `lmHead` in plain tfjs ops. */
export function lmHeadReference({x, embedding}: LmHeadInputs): tf.Tensor {
  const [vocab, dim] = embedding.shape;
  const rows = tf.reshape<tf.Rank.R2>(x, [x.size / dim, dim]);
  return tf.reshape(tf.matMul(rows, embedding, false, true), [...x.shape.slice(0, -1), vocab]);
}
