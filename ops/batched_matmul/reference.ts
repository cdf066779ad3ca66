import * as tf from '@tensorflow/tfjs';

/** Which of the two factors are read as their transposes. */
export interface BatchedMatMulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** `batchedMatMul` in plain tfjs ops. */
export function batchedMatMulReference(
  {a, b}: {a: tf.Tensor; b: tf.Tensor},
  {transposeA, transposeB}: BatchedMatMulAttributes,
): tf.Tensor {
  return tf.matMul(a, b, transposeA, transposeB);
}
