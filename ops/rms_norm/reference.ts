import * as tf from '@tensorflow/tfjs';

/** `rmsNorm` in plain tfjs ops. */
export function rmsNormReference(
  {x, gain}: {x: tf.Tensor; gain: tf.Tensor},
  {epsilon}: {epsilon: number},
): tf.Tensor {
  const factor = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon));
  return tf.mul(tf.mul(x, factor), gain);
}
