import type * as tf from '@tensorflow/tfjs';
import {tensorflowTensor} from '../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import {rowsOfRecords} from '../weights/tensorflow.js';
import type {UnpackAttributes, UnpackInputs} from './reference.js';

registerKernel('Unpack', 'tensorflow', unpackTensorflow);

/** `unpack` by TensorFlow's ops, bit for bit. */
function unpackTensorflow(
  {records}: KernelInputs<UnpackInputs>,
  {format, inputs, outputs}: UnpackAttributes,
): tf.TensorInfo {
  return tensorflowTensor(ops => {
    const rows = rowsOfRecords(ops, ops.of(records), format);
    return ops.transpose(ops.slice(rows, [0, 0], [outputs, inputs]), [1, 0]);
  });
}
