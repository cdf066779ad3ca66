import * as tf from '@tensorflow/tfjs';
import {type WasmHeap, wasmHeap} from '../backends/wasm_heap.js';
import {evenRanges, partsOf} from '../threads/index.js';

/** `swiglu` on tfjs' heap: one op for three. */
export function swigluWasm({gate, up}: {gate: tf.TensorInfo; up: tf.TensorInfo}): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [result] = heap.outputs([gate.shape], ([out]) => {
    const count = tf.util.sizeFromShape(gate.shape);
    swigluOnHeap(heap, heap.address(gate), heap.address(up), heap.address(out!), count);
  });
  return result!;
}

/** `swiglu` of `count` numbers at addresses; `out` may be one of the others. */
export function swigluOnHeap(heap: WasmHeap, gate: number, up: number, out: number, count: number): void {
  const ranges = evenRanges(count, partsOf(heap, workOfOne * count), 64);
  heap.split(
    'swiglu',
    ranges.map(({from, to}) => [gate + 4 * from, up + 4 * from, out + 4 * from, to - from]),
  );
}

/** A sigmoid takes as long as some multiply-adds. */
const workOfOne = 16;
