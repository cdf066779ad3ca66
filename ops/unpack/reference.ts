import * as tf from '@tensorflow/tfjs';
import {hostNumbers} from '../host_numbers.js';
import {readRow} from '../weights/records.js';
import type {PackedMatrix} from '../weights/matrix.js';

export type UnpackInputs = {records: tf.Tensor3D};
export type UnpackAttributes = Omit<PackedMatrix, 'records'>;

/** `unpack` by loops on the host: tfjs' own ops have no exact 32-bit integers on most backends. */
export function unpackReference(
  {records}: UnpackInputs,
  {format, inputs, outputs}: UnpackAttributes,
): tf.Tensor2D {
  const words = hostNumbers(records);
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const blocks = records.shape[1];
  const values = new Float32Array(inputs * outputs);
  for (let output = 0; output < outputs; output++) {
    const row = readRow(bytes, format, blocks, output);
    for (let input = 0; input < inputs; input++) values[input * outputs + output] = row[input]!;
  }
  return tf.tensor2d(values, [inputs, outputs]);
}
