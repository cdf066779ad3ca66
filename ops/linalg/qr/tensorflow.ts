import type * as tf from '@tensorflow/tfjs';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import {asFloat32, matricesByTensorflow, signsOf} from '../matrices_tensorflow.js';

registerKernel('Qr', 'tensorflow', qrTensorflow);

/** `qr` by TensorFlow's `Qr`: `[n, count, rows + columns]`, rows (column of Q, row of R), count = min(rows, columns). */
function qrTensorflow({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const [, rows, columns] = x.shape;
  const count = Math.min(rows, columns);
  return matricesByTensorflow(x, (ops, matrices) => {
    const [q, r] = ops.runAll('Qr', [matrices], thin, 2);
    const identity = ops.cast(ops.floats(identityOf(count), [count, count]), 'float64');
    const diagonal = ops.sum(ops.mul(ops.part(r!, 2, 0, count), identity), 2, true);
    const factors = ops.concat([ops.transpose(q!, [0, 2, 1]), r!], 2);
    return asFloat32(ops, ops.mul(factors, signsOf(ops, diagonal)));
  });
}

const thin = {full_matrices: false};

const identityOf = (size: number) =>
  Array.from({length: size ** 2}, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
