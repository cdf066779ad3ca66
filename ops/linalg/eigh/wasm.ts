import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';

/** `eigh` on tfjs' heap. */
export function eighWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [count, dim] = x.shape;
  const scratch = heap.scratch(heap.kernels.eighScratch(dim));
  const out = heap.output([count, dim + 1, dim], 'float32');
  heap.kernels.eigh(heap.address(x), heap.address(out), scratch, count, dim);
  return out;
}
