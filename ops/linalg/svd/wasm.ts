import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';

/** `svd` on tfjs' heap. */
export function svdWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [count, rows, columns] = x.shape;
  const scratch = heap.scratch(heap.kernels.svdScratch(rows, columns));
  const out = heap.output([count, Math.min(rows, columns), rows + 1 + columns], 'float32');
  heap.kernels.svd(heap.address(x), heap.address(out), scratch, count, rows, columns);
  return out;
}
