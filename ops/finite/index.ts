import type * as tf from '@tensorflow/tfjs';
import {tensorflowEager} from '../backends/tensorflow_eager.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import {readableNumbers} from '../host_numbers.js';
import {runOp, type DirectOp} from '../run_op.js';

/**
 * Whether all numbers of a float32 tensor are finite, if that can be known synchronously: on wasm by a kernel (a token of a
 * cache takes a microsecond), on cpu and tensorflow by reading. GPU backends cannot be read synchronously, or would wait for all that they have to do
 * (tfjs-node-gpu): `undefined` there.
 */
export function allFinite(x: tf.Tensor): boolean | undefined {
  return runOp(allFiniteOp, {x}, {});
}

const allFiniteOp: DirectOp<{x: tf.Tensor}, object, boolean | undefined> = {
  name: 'AllFinite',
  reference: ({x}) => readableNumbers(x)?.every(Number.isFinite),
  directKernels: {
    tensorflow: ({x}) =>
      tensorflowEager()!.isOnGpu ? undefined : readableNumbers(x)?.every(Number.isFinite),
    wasm: ({x}) => {
      const heap = wasmHeap()!;
      return heap.kernels.allFinite(heap.address(x), x.size) === 1;
    },
  },
};
