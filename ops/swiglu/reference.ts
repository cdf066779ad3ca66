import * as tf from '@tensorflow/tfjs';

/** `swiglu` in plain tfjs ops. */
export function swigluReference({gate, up}: {gate: tf.Tensor; up: tf.Tensor}): tf.Tensor {
  return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
}
