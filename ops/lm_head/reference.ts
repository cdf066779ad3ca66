import * as tf from '@tensorflow/tfjs';

export type LmHeadInputs = {x: tf.Tensor2D; embedding: tf.Tensor2D};

/** `lmHead` in plain tfjs ops. */
export function lmHeadReference({x, embedding}: LmHeadInputs): tf.Tensor2D {
  return tf.matMul(x, embedding, false, true);
}
