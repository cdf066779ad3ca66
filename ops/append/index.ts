import * as tf from '@tensorflow/tfjs';
import {bringToCurrentBackend} from '../backends/residence.js';
import {tensorflowEager} from '../backends/tensorflow_eager.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import {webgpuPrograms} from '../backends/webgpu_programs.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectRank4} from '../encodings/encoding.js';
import {appendRowsCpu} from './cpu.js';
import {appendRowsTensorflow} from './tensorflow.js';
import {appendRowsWasm} from './wasm.js';
import {appendRowsWebgpu, rowsOfBuffer} from './webgpu.js';

/**
 * Writes fresh rows behind the first `at` rows of a buffer `[batch, heads, capacity, columns]`, in place where it can.
 *
 * Where the backend writes in place (all but webgl) and the buffer has room, the cost is O(fresh rows) and **the same
 * tensor comes back**, so whoever holds the old state still reads its first `at` rows unchanged. Room belongs to who writes
 * first: where rows behind `at` were written before (an old state goes on once more, or two states share a buffer), the
 * buffer counts as full. A buffer without room is copied once into one of `capacity` rows. On webgl a new tensor of exactly
 * `at` + fresh rows is made. int32 is exact wherever rows are written in place.
 *
 * @param buffer the buffer, or nothing yet (`at` is 0 then).
 * @param fresh float32 or int32 `[batch, heads, rows, columns]` of the buffer's dtype.
 * @param capacity rows to allocate where a new buffer is needed; at least `at` + fresh rows are.
 * @throws InvalidArgumentError where shapes or dtypes do not fit, or `at` lies beyond the buffer.
 */
export function append(
  buffer: tf.Tensor4D | undefined,
  fresh: tf.Tensor4D,
  at: number,
  capacity: number,
): tf.Tensor4D {
  checkAppend(buffer, fresh, at);
  const [batch, heads, rows, columns] = fresh.shape;
  const needed = at + rows;
  const writeRows = rowWriter();
  if (writeRows === undefined) {
    return buffer === undefined || at === 0
      ? tf.clone(fresh)
      : tf.tidy(() => tf.concat([tf.slice(buffer, [0, 0, 0, 0], [-1, -1, at, -1]), fresh], 2));
  }
  if (buffer !== undefined) bringToCurrentBackend(buffer); // the current backend may have changed since it was made
  if (buffer !== undefined && needed <= buffer.shape[2] && (rowsWritten.get(buffer.dataId) ?? at) <= at) {
    if (rows > 0) writeRows(buffer, fresh, at, rows);
    rowsWritten.set(buffer.dataId, needed);
    return buffer;
  }
  const grown = allocate([batch, heads, Math.max(capacity, needed), columns], fresh.dtype);
  if (buffer !== undefined && at > 0) writeRows(grown, buffer, 0, at);
  if (rows > 0) writeRows(grown, fresh, at, rows);
  rowsWritten.set(grown.dataId, needed);
  return grown;
}

/** How many rows of a buffer are taken: a note on its data, which goes when they go. (Clones of a tensor share its data.) */
const rowsWritten = new WeakMap<tf.DataId, number>();

/** Whether the current backend can write into a tensor that exists. */
export function writesInPlace(): boolean {
  return rowWriter() !== undefined;
}

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on. */
type RowWriter = (buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number) => void;

function rowWriter(): RowWriter | undefined {
  switch (tf.getBackend()) {
    case 'cpu':
      return appendRowsCpu;
    case 'wasm':
      return wasmHeap() && appendRowsWasm;
    case 'webgpu':
      return webgpuPrograms() && appendRowsWebgpu;
    case 'tensorflow':
      return tensorflowEager() && appendRowsTensorflow;
    default:
      return undefined;
  }
}

/** A tensor with memory of its own (tf.zeros may share or delay it). */
function allocate(
  [batch, heads, wanted, columns]: [number, number, number, number],
  dtype: tf.DataType,
): tf.Tensor4D {
  const rows = tf.getBackend() === 'webgpu' ? rowsOfBuffer(batch * heads, wanted, columns) : wanted;
  const shape: [number, number, number, number] = [batch, heads, rows, columns];
  const size = shape.reduce((product, length) => product * length, 1);
  const numbers = dtype === 'int32' ? new Int32Array(size) : new Float32Array(size);
  return tf.tensor4d(numbers, shape, dtype === 'int32' ? 'int32' : 'float32');
}

function checkAppend(buffer: tf.Tensor4D | undefined, fresh: tf.Tensor4D, at: number): void {
  expectRank4(fresh, 'fresh');
  if (fresh.dtype !== 'float32' && fresh.dtype !== 'int32') {
    throw new InvalidArgumentError(`fresh rows are ${fresh.dtype}; expected float32 or int32.`);
  }
  const filled = buffer?.shape[2] ?? 0;
  if (!Number.isInteger(at) || at < 0 || at > filled) {
    throw new InvalidArgumentError(`at = ${at}; expected an integer from 0 to the buffer's ${filled} rows.`);
  }
  if (buffer === undefined) return;
  expectRank4(buffer, 'buffer');
  const fits = [0, 1, 3].every(axis => buffer.shape[axis] === fresh.shape[axis]);
  if (!fits || buffer.dtype !== fresh.dtype) {
    throw new InvalidArgumentError(
      `fresh rows ${fresh.dtype} [${fresh.shape.join(', ')}] do not fit the buffer ${buffer.dtype} ` +
        `[${buffer.shape.join(', ')}]: dtype, batch, heads and columns must be equal.`,
    );
  }
}
