import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';

/** `swiglu` on tfjs' heap: one op for three. */
export function swigluWasm({gate, up}: {gate: tf.TensorInfo; up: tf.TensorInfo}): tf.TensorInfo {
  const heap = wasmHeap()!;
  const out = heap.output(gate.shape, 'float32');
  const count = tf.util.sizeFromShape(gate.shape);
  heap.kernels.swiglu(heap.address(gate), heap.address(up), heap.address(out), count);
  return out;
}
