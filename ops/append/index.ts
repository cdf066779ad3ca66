import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {appendRowsCpu} from './cpu.js';
import {appendRowsWasm} from './wasm.js';

/**
 * Writes fresh rows behind the first `at` rows of a buffer `[batch, heads, capacity, columns]`, in place where it can.
 *
 * Where the backend writes in place (cpu, wasm) and the buffer has room, the cost is O(fresh rows) and **the same tensor
 * comes back**, so whoever holds the old state still reads its first `at` rows unchanged. A buffer without room is copied
 * once into one of `capacity` rows. Elsewhere a new tensor of exactly `at + fresh` rows is made.
 *
 * @param buffer the buffer, or nothing yet.
 * @param fresh float32 or int32 `[batch, heads, rows, columns]` of the buffer's dtype.
 * @param capacity rows to allocate where a new buffer is needed; at least `at` + fresh rows are.
 */
export function append(
  buffer: tf.Tensor4D | undefined,
  fresh: tf.Tensor4D,
  at: number,
  capacity: number,
): tf.Tensor4D {
  const [batch, heads, rows, columns] = fresh.shape;
  const needed = at + rows;
  if (!writesInPlace()) {
    return buffer === undefined || at === 0
      ? tf.clone(fresh)
      : tf.tidy(() => tf.concat([tf.slice(buffer, [0, 0, 0, 0], [-1, -1, at, -1]), fresh], 2));
  }
  if (buffer !== undefined && needed <= buffer.shape[2]) {
    writeRows(buffer, fresh, at, rows);
    return buffer;
  }
  const grown = allocate([batch, heads, Math.max(capacity, needed), columns], fresh.dtype);
  if (buffer !== undefined) writeRows(grown, buffer, 0, at);
  writeRows(grown, fresh, at, rows);
  return grown;
}

/** Whether the current backend can write into a tensor that exists. */
export function writesInPlace(): boolean {
  const backend = tf.getBackend();
  return backend === 'cpu' || (backend === 'wasm' && wasmHeap() !== undefined);
}

function writeRows(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  if (tf.getBackend() === 'wasm') appendRowsWasm(buffer, fresh, at, rows);
  else appendRowsCpu(buffer, fresh, at, rows);
}

/** A tensor with memory of its own (tf.zeros may share or delay it). */
function allocate(shape: [number, number, number, number], dtype: tf.DataType): tf.Tensor4D {
  const size = shape.reduce((product, length) => product * length, 1);
  const numbers = dtype === 'int32' ? new Int32Array(size) : new Float32Array(size);
  return tf.tensor4d(numbers, shape, dtype === 'int32' ? 'int32' : 'float32');
}
