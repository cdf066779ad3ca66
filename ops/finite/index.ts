import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {readableNumbers} from '../host_numbers.js';

/**
 * Whether all numbers of a float32 tensor are finite, where that can be known at once: on wasm by a kernel (a token of a
 * cache takes a microsecond), on cpu and tensorflow by reading. GPU backends cannot be read at once: `undefined` there.
 */
export function allFinite(x: tf.Tensor): boolean | undefined {
  const heap = tf.getBackend() === 'wasm' ? wasmHeap() : undefined;
  if (heap !== undefined) return heap.kernels.allFinite(heap.address(x), x.size) === 1;
  return readableNumbers(x)?.every(Number.isFinite);
}
