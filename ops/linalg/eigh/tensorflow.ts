import type * as tf from '@tensorflow/tfjs';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import {asFloat32, leadingSigns, matricesByTensorflow} from '../matrices_tensorflow.js';

registerKernel('Eigh', 'tensorflow', eighTensorflow);

/** `eigh` by TensorFlow's `SelfAdjointEigV2`, which has the smallest value first and vectors as columns, and reads the lower triangle only. */
function eighTensorflow({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const [n, dim] = x.shape;
  return matricesByTensorflow(x, (ops, matrices) => {
    const symmetric = ops.mul(ops.add(matrices, ops.transpose(matrices, [0, 2, 1])), 0.5);
    const [values, columns] = ops.runAll('SelfAdjointEigV2', [symmetric], withVectors, 2);
    const vectors = ops.reverse(ops.transpose(columns!, [0, 2, 1]), 1);
    const signed = ops.mul(vectors, leadingSigns(ops, vectors));
    const descending = ops.reshape(ops.reverse(values!, 1), [n, 1, dim]);
    return ops.concat([asFloat32(ops, descending), ops.cast(signed, 'float32')], 1);
  });
}

const withVectors = {compute_v: true};
