import * as tf from '@tensorflow/tfjs';

/** `lmHead` in plain tfjs ops. */
export function lmHeadReference({x, embedding}: {x: tf.Tensor; embedding: tf.Tensor}): tf.Tensor {
  return tf.matMul(x, embedding, false, true);
}
