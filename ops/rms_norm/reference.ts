import * as tf from '@tensorflow/tfjs';

/** `rmsNorm` in plain tfjs ops. */
export function rmsNormReference(
  {x, gain}: {x: tf.Tensor; gain: tf.Tensor},
  {epsilon}: {epsilon: number},
): tf.Tensor {
  return tf.mul(tf.mul(x, inverseRms(x, epsilon)), gain);
}

/** `1 / sqrt(mean(x^2) + epsilon)` of each row: `[..., 1]`. Rows of large numbers are divided by the largest before squaring. */
export function inverseRms(x: tf.Tensor, epsilon: number): tf.Tensor {
  const scale = tf.maximum(tf.max(tf.abs(x), -1, true), 1);
  const squares = tf.mean(tf.square(tf.div(x, scale)), -1, true);
  return tf.div(tf.rsqrt(tf.add(squares, tf.square(tf.div(Math.sqrt(epsilon), scale)))), scale);
}
