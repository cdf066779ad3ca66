import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {HadamardAttributes} from './reference.js';

/** `hadamard` on tfjs' heap: butterflies, dim log2(dim) additions per token. */
export function hadamardWasm({x}: {x: tf.TensorInfo}, {block}: HadamardAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const out = heap.output(x.shape, 'float32');
  const numbers = tf.util.sizeFromShape(x.shape);
  heap.kernels.hadamard(heap.address(x), heap.address(out), numbers, block);
  return out;
}
