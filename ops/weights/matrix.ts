import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {type PackedFormat, recordsShape} from './formats.js';

/** A matrix of weights in a packed format, as products read it. It cannot be trained; gradients reach what it multiplies. */
export interface PackedMatrix {
  readonly format: PackedFormat;
  readonly inputs: number;
  readonly outputs: number;
  /** int32 `[groups of 8 outputs, blocks of 32 inputs, words of a record]`: see `packedFormats`. */
  readonly records: tf.Tensor3D;
}

/** What a product multiplies by: float32 `[inputs, outputs]`, or packed. */
export type Matrix = tf.Tensor | PackedMatrix;

export function isPacked(matrix: tf.Tensor | PackedMatrix): matrix is PackedMatrix {
  return 'records' in matrix;
}

/** Columns of a matrix. */
export function outputsOf(matrix: Matrix): number {
  return isPacked(matrix) ? matrix.outputs : matrix.shape[1]!;
}

/** @throws InvalidArgumentError if the tensor is not what its format and sizes say. */
export function checkPacked({format, inputs, outputs, records}: PackedMatrix): void {
  const shape = recordsShape(format, inputs, outputs);
  const [groups, blocks, words] = records.shape;
  // one by one: this runs for every product, and joined texts take longer than a small kernel
  const fits = records.rank === 3 && groups === shape[0] && blocks === shape[1] && words === shape[2];
  if (fits && records.dtype === 'int32') return;
  throw new InvalidArgumentError(
    `A ${format} matrix of ${inputs} inputs and ${outputs} outputs has ${records.dtype} records [${records.shape.join(', ')}]; ` +
      `expected int32 [${shape.join(', ')}].`,
  );
}
