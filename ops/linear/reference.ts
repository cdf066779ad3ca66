import * as tf from '@tensorflow/tfjs';

export interface LinearAttributes {
  /** The shape of the result. */
  readonly shape: readonly number[];
}

/** `linear` in plain tfjs ops. */
export function linearReference(
  {x, kernel}: {x: tf.Tensor; kernel: tf.Tensor},
  {shape}: LinearAttributes,
): tf.Tensor {
  const inputs = kernel.shape[0];
  const rows = tf.reshape(x, [x.size / inputs, inputs]);
  return tf.reshape(tf.matMul(rows, kernel), [...shape]);
}
