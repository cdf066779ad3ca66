import * as tf from '@tensorflow/tfjs';

/**
 * `x W + b` over the last axis of x, as one 2-D product: the only shape of matMul that is fast on wasm (XNNPACK packs
 * each right side once, so weights lie as `[in, out]` for good).
 */
export function project(x: tf.Tensor, kernel: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const [inputs, outputs] = kernel.shape as [number, number];
  const flat = tf.matMul(tf.reshape(x, [-1, inputs]), kernel);
  return tf.reshape(bias ? tf.add(flat, bias) : flat, [...x.shape.slice(0, -1), outputs]);
}
