import * as tf from '@tensorflow/tfjs';
import {hostNumbers} from '../host_numbers.js';
import type {PackedFormat, WeightFormat} from '../weights/formats.js';
import {readRow} from '../weights/records.js';

/** `table` is float32 `[rows, dim]`, or the records of `rows` outputs. */
export type EmbedInputs = {ids: tf.Tensor2D; table: tf.Tensor};

export interface EmbedAttributes {
  readonly format: WeightFormat;
  readonly rows: number;
  readonly dim: number;
}

/** `embed` in plain tfjs ops, or from packed tables by loops on the host. */
export function embedReference({ids, table}: EmbedInputs, {format, dim}: EmbedAttributes): tf.Tensor3D {
  const shape: [number, number, number] = [...ids.shape, dim];
  if (format === 'float32') return tf.reshape(tf.gather(table, tf.reshape(ids, [-1])), shape);
  return tf.tensor3d(packedRows(hostNumbers(ids), table as tf.Tensor3D, format, dim), shape);
}

function packedRows(
  ids: ArrayLike<number>,
  records: tf.Tensor3D,
  format: PackedFormat,
  dim: number,
): Float32Array {
  const words = hostNumbers(records);
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const values = new Float32Array(ids.length * dim);
  for (let i = 0; i < ids.length; i++) {
    values.set(readRow(bytes, format, records.shape[1], ids[i]!).subarray(0, dim), i * dim);
  }
  return values;
}
