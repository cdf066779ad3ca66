import type * as tf from '@tensorflow/tfjs';
import type {Handle} from '../../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import {asFloat32, leadingSigns, matricesByTensorflow} from '../matrices_tensorflow.js';

registerKernel('Svd', 'tensorflow', svdTensorflow);

/** `svd` by TensorFlow's `Svd`: triplets `[n, min(rows, columns), rows + 1 + columns]`. */
function svdTensorflow({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const [n, rows, columns] = x.shape;
  return matricesByTensorflow(x, (ops, matrices) => {
    const [s, ...vectors] = ops.runAll('Svd', [matrices], thin, 3);
    const [ut, vt] = vectors.map(columns => ops.transpose(columns, [0, 2, 1])) as [Handle, Handle];
    const signs = leadingSigns(ops, vt);
    const signed = (of: Handle) => ops.cast(ops.mul(of, signs), 'float32');
    const values = asFloat32(ops, ops.reshape(s!, [n, Math.min(rows, columns), 1]));
    return ops.concat([signed(ut), values, signed(vt)], 2);
  });
}

const thin = {compute_uv: true, full_matrices: false};
