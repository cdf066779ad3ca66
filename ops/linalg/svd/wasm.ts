import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import {matricesOnHeap} from '../matrices_wasm.js';

/** `svd` on tfjs' heap. */
export function svdWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const [count, rows, columns] = x.shape;
  const few = Math.min(rows, columns);
  const scratch = wasmHeap()!.kernels.svdScratch(rows, columns);
  return matricesOnHeap(x, [count, few, rows + 1 + columns], {
    kernel: 'svd',
    ...{scratch, work: rows * columns * few, sizes: [rows, columns]},
  });
}
