import * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {columnSlice, halvesOfInterleaved, transpose} from './layouts.js';
import {type FilledVariables, filledVariables} from './model_variables.js';

export interface FillOptions {
  /** After each tensor: bytes of the file read so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Gives a model the weights of a file: one tensor at a time is read as float32, brought into the layer's layout and set.
 * Kernels are stored as `[inputs, outputs]`, the only layout whose products are fast on wasm; pairs of channels that
 * rotate are halves.
 *
 * @param weights what `checkedWeights` gave for this file and the model's config.
 * @throws ModelError if a weight is NaN or infinite, FormatError if the file is damaged. The model's weights are
 *   partly set then.
 */
export async function fillWeights(
  model: tf.LayersModel,
  weights: readonly StoredWeight[],
  file: TensorFile,
  {onProgress, signal}: FillOptions = {},
): Promise<void> {
  const byteLength = ({tensor}: StoredWeight) => file.tensors.get(tensor)!.byteLength;
  const total = weights.reduce((sum, stored) => sum + byteLength(stored), 0);
  let done = 0;
  for (const target of filledVariables(model, weights)) {
    signal?.throwIfAborted();
    const values = await file.readFloat32(target.stored.tensor);
    checkNumbers(values, target.stored.tensor);
    setVariables(target, values);
    done += byteLength(target.stored);
    onProgress?.(done, total);
  }
}

function checkNumbers(values: Float32Array, tensor: string): void {
  for (let i = 0; i < values.length; i++) {
    // x - x is 0 for every number but NaN and the infinities
    if (values[i]! - values[i]! !== 0) {
      throw new ModelError(
        `Tensor "${tensor}" holds ${values[i]!} at index ${i}; the weights are damaged, download or convert them again.`,
      );
    }
  }
}

function setVariables({stored, variables, columns}: FilledVariables, values: Float32Array): void {
  const {transposed, interleavedHeads, shape} = stored;
  const outputs = columns.reduce((sum, count) => sum + count, 0);
  const isMatrix = shape.length === 2;
  const order = interleavedHeads === undefined ? undefined : halvesOfInterleaved(interleavedHeads, outputs);
  // a vector whose channels change places is a matrix of one column
  const laid =
    (transposed && isMatrix) || order !== undefined
      ? transpose(values, outputs, values.length / outputs, order)
      : values;
  let start = 0;
  variables.forEach((variable, i) => {
    const count = columns[i]!;
    const tensor = tf.tensor(columnSlice(laid, outputs, start, count), variable.shape as number[], 'float32');
    variable.write(tensor);
    tensor.dispose();
    start += count;
  });
}
