import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';

export function rmsNormWasm(
  {x, gain}: {x: tf.TensorInfo; gain: tf.TensorInfo},
  {epsilon}: {epsilon: number},
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const out = heap.output(x.shape, 'float32');
  const dim = gain.shape[0]!;
  const rows = tf.util.sizeFromShape(x.shape) / dim;
  heap.kernels.rmsNorm(heap.address(x), heap.address(gain), heap.address(out), rows, dim, epsilon);
  return out;
}
