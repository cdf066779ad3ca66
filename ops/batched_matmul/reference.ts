import * as tf from '@tensorflow/tfjs';
import type {BatchedMatMulAttributes} from './index.js';

/** `batchedMatMul` in plain tfjs ops. */
export function batchedMatMulReference(
  {a, b}: {a: tf.Tensor; b: tf.Tensor},
  {transposeA, transposeB}: BatchedMatMulAttributes,
): tf.Tensor {
  return tf.matMul(a, b, transposeA, transposeB);
}
