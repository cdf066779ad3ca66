import type * as tf from '@tensorflow/tfjs';
import {defineOp, runOp} from '../run_op.js';
import {type PackedMatrix, checkPacked} from '../weights/matrix.js';
import {unpackReference} from './reference.js';
import './tensorflow.js';
import {unpackWebgpu} from './webgpu.js';
import {unpackWasm} from './wasm.js';

/**
 * A packed matrix as float32 `[inputs, outputs]`, as exactly as float32 arithmetic decodes it. For gradients, for merging and
 * saving weights, and for backends without kernels for packed products; products never make this copy.
 *
 * @throws InvalidArgumentError if the records do not fit the matrix.
 */
export function unpack(matrix: PackedMatrix): tf.Tensor2D {
  checkPacked(matrix);
  const {records, ...layout} = matrix;
  return runOp(unpackOp, {records}, layout);
}

const unpackOp = defineOp({
  name: 'Unpack',
  reference: unpackReference,
  kernels: {wasm: unpackWasm, webgpu: unpackWebgpu},
});
