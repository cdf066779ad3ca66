import * as tf from '@tensorflow/tfjs';
import {bringToCurrentBackend} from '../backends/residence.js';
import type {AppendAttributes, AppendInputs} from './reference.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on. */
type RowWriter = (buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number) => void;

/** How many rows of a buffer are written, by its data, which clones of a tensor share. Weak: it does not keep the data alive. */
const rowsWritten = new WeakMap<tf.DataId, number>();

/** What differs between backends that write into tensors that exist. */
interface BufferOptions {
  /** The number of rows to allocate for a buffer of `heads` and `columns` that needs `wanted` rows. Default: these. */
  readonly rowsOfBuffer?: (heads: number, wanted: number, columns: number) => number;
  /** A tensor of zeros with memory of its own. */
  readonly allocate?: (shape: [number, number, number, number], dtype: tf.DataType) => tf.Tensor4D;
  /** Whether rows are written only into what `allocate` made. Default: into each tensor with room. */
  readonly onlyAllocated?: boolean;
}

/** `append` on a backend that writes into tensors that exist. */
export function inPlace(
  writeRows: RowWriter,
  {
    rowsOfBuffer = (_, wanted) => wanted,
    allocate = allocateOnHost,
    onlyAllocated = false,
  }: BufferOptions = {},
): (inputs: AppendInputs, attributes: AppendAttributes) => tf.Tensor4D {
  return ({buffer, fresh}, {at, capacity}) => {
    const [batch, heads, rows, columns] = fresh.shape;
    const needed = at + rows;
    if (buffer !== undefined) bringToCurrentBackend(buffer); // the current backend may have changed since it was made
    const written = buffer && (rowsWritten.get(buffer.dataId) ?? (onlyAllocated ? Infinity : at));
    if (buffer !== undefined && needed <= buffer.shape[2] && written! <= at) {
      if (rows > 0) writeRows(buffer, fresh, at, rows);
      rowsWritten.set(buffer.dataId, needed);
      return buffer;
    }
    const capacityRows = rowsOfBuffer(batch * heads, Math.max(capacity, needed), columns);
    const grown = allocate([batch, heads, capacityRows, columns], fresh.dtype);
    if (buffer !== undefined && at > 0) writeRows(grown, buffer, 0, at);
    if (rows > 0) writeRows(grown, fresh, at, rows);
    rowsWritten.set(grown.dataId, needed);
    return grown;
  };
}

/** A tensor with memory of its own (tf.zeros may share or delay it). */
function allocateOnHost(shape: [number, number, number, number], dtype: tf.DataType): tf.Tensor4D {
  const size = tf.util.sizeFromShape(shape);
  const numbers = dtype === 'int32' ? new Int32Array(size) : new Float32Array(size);
  return tf.tensor4d(numbers, shape, dtype === 'int32' ? 'int32' : 'float32');
}
