import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import {matricesOnHeap} from '../matrices_wasm.js';

/** `eigh` on tfjs' heap. */
export function eighWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const [count, dim] = x.shape;
  const scratch = wasmHeap()!.kernels.eighScratch(dim);
  return matricesOnHeap(x, [count, dim + 1, dim], {
    kernel: 'eigh',
    ...{scratch, work: dim ** 3, sizes: [dim]},
  });
}
