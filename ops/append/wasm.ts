import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, on tfjs' heap. */
export function appendRowsWasm(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const heap = wasmHeap()!;
  const [batch, heads, capacity, columns] = buffer.shape;
  const stride = fresh.shape[2];
  heap.kernels.appendRows(
    heap.address(buffer),
    heap.address(fresh),
    batch * heads,
    capacity,
    stride,
    rows,
    at,
    columns * 4,
  );
}

/** Zeros in new memory of tfjs' heap: an array of the host would be made, copied and collected. */
export function allocateWasm(shape: [number, number, number, number], dtype: tf.DataType): tf.Tensor4D {
  const heap = wasmHeap()!;
  const rows = heap.output(shape, dtype === 'int32' ? 'int32' : 'float32');
  heap.bytes(rows).fill(0);
  return tf.engine().makeTensorFromTensorInfo(rows) as tf.Tensor4D;
}
