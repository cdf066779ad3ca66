import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';

/** `qr` on tfjs' heap. */
export function qrWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [count, rows, columns] = x.shape;
  const scratch = heap.scratch(heap.kernels.qrScratch(rows, columns));
  const out = heap.output([count, Math.min(rows, columns), rows + columns], 'float32');
  heap.kernels.qr(heap.address(x), heap.address(out), scratch, count, rows, columns);
  return out;
}
