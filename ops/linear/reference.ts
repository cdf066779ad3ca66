import * as tf from '@tensorflow/tfjs';
import type {LinearAttributes} from './index.js';

/** `linear` in plain tfjs ops. */
export function linearReference(
  {x, kernel}: {x: tf.Tensor; kernel: tf.Tensor},
  {shape}: LinearAttributes,
): tf.Tensor {
  const [inputs] = kernel.shape as [number, number];
  const rows = tf.reshape(x, [x.size / inputs, inputs]);
  return tf.reshape(tf.matMul(rows, kernel), [...shape]);
}
