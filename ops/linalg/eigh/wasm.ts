import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';

/** `eigh` on tfjs' heap; scratch holds one matrix in float64 and seven rows. */
export function eighWasm({x}: {x: tf.TensorInfo}): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [count, dim] = x.shape as [number, number, number];
  const width = dim + (dim % 2);
  const scratch = heap.scratch((dim + 7) * width * 8);
  const out = heap.output([count, dim + 1, dim], 'float32');
  heap.kernels.eigh(heap.address(x), heap.address(out), scratch, count, dim);
  return out;
}
