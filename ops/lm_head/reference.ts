import * as tf from '@tensorflow/tfjs';

/** `unembed` in plain tfjs ops. */
export function unembedReference({x, embedding}: {x: tf.Tensor; embedding: tf.Tensor}): tf.Tensor {
  return tf.matMul(x, embedding, false, true);
}
