import * as tf from '@tensorflow/tfjs';
import {ModelError, didYouMean} from '../../ops/errors.js';
import type {StoredWeight} from '../architecture.js';
import type {ModelConfig} from '../model_config.js';
import {architectureOf} from '../registry.js';
import {metadataString} from '../weights/gguf_metadata.js';
import type {TensorFile, TensorInfo} from '../weights/tensor_file.js';
import {columnSlice, halvesOfInterleaved, transpose} from './layouts.js';
import {type FilledVariables, filledVariables} from './model_variables.js';

export interface FillOptions {
  /** After each tensor: bytes of the file read so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Gives a model the weights of a file: one tensor at a time is read as float32, brought into the layer's layout and set.
 * Kernels lie `[inputs, outputs]` from then on, the only layout whose products are fast on wasm; pairs of channels that
 * rotate are halves.
 *
 * @throws ModelError where a tensor is missing, has another shape than the config says, holds a number that is none, or is
 *   one that the architecture does not know. FormatError where the file is damaged. The model's weights are partly set then.
 */
export async function fillWeights(
  model: tf.LayersModel,
  config: ModelConfig,
  file: TensorFile,
  {onProgress, signal}: FillOptions = {},
): Promise<void> {
  const filled = filledVariables(model, weightsIn(file, config));
  checkTensors(filled, config, file);
  const total = filled.reduce((sum, {stored}) => sum + file.tensors.get(stored.tensor)!.byteLength, 0);
  let done = 0;
  for (const target of filled) {
    signal?.throwIfAborted();
    const {tensor} = target.stored;
    const values = await file.readFloat32(tensor);
    checkNumbers(values, tensor);
    setVariables(target, values);
    done += file.tensors.get(tensor)!.byteLength;
    onProgress?.(done, total);
  }
}

/** The tensors of this file that fill the model, by the names that they have here. */
function weightsIn(file: TensorFile, config: ModelConfig): StoredWeight[] {
  const architecture = architectureOf(config);
  if (file.format === 'gguf') {
    return architecture.ggufWeights(config, metadataString(file.metadata, 'general.architecture') ?? '');
  }
  const {hubPrefix} = architecture;
  return architecture.hubWeights(config).map(stored => {
    const bare = stored.tensor.startsWith(hubPrefix) ? stored.tensor.slice(hubPrefix.length) : stored.tensor;
    return file.tensors.has(stored.tensor) || !file.tensors.has(bare) ? stored : {...stored, tensor: bare};
  });
}

/** Everything that the file's header can tell, before anything is read. */
function checkTensors(filled: readonly FilledVariables[], config: ModelConfig, file: TensorFile): void {
  const known = new Set<string>();
  for (const {stored, shape} of filled) {
    const tensor = file.tensors.get(stored.tensor);
    if (tensor === undefined) {
      throw new ModelError(
        `The weights lack the tensor "${stored.tensor}", which a model of this config needs.${didYouMean(stored.tensor, [...file.tensors.keys()])}`,
      );
    }
    checkShape(tensor, shape);
    known.add(stored.tensor);
  }
  const {isIgnored} = architectureOf(config);
  const unknown = [...file.tensors.keys()].filter(name => !known.has(name) && !isIgnored(name, config));
  if (unknown.length > 0) {
    throw new ModelError(
      `The weights hold ${unknown.length} tensors that a model of this config has no place for, such as "${unknown[0]!}": ` +
        'config and weights contradict each other, or the model is of another kind.',
    );
  }
}

function checkShape({name, shape}: TensorInfo, expected: readonly number[]): void {
  if (shape.join() === expected.join()) return;
  throw new ModelError(
    `Tensor "${name}" is [${shape.join(', ')}]; by the model's config it should be [${expected.join(', ')}].`,
  );
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

function setVariables({stored, variables, rows, columns}: FilledVariables, values: Float32Array): void {
  const {transposed, interleavedHeads} = stored;
  const outputs = columns.reduce((sum, count) => sum + count, 0);
  const order = interleavedHeads === undefined ? undefined : halvesOfInterleaved(interleavedHeads, outputs);
  // a vector of outputs is a matrix of one column in the file
  const isVector = variables[0]!.shape.length === 1;
  const laid =
    order !== undefined || (transposed && !isVector) ? transpose(values, outputs, rows, order) : values;
  let start = 0;
  variables.forEach((variable, i) => {
    const count = columns[i]!;
    const tensor = tf.tensor(columnSlice(laid, outputs, start, count), variable.shape as number[], 'float32');
    variable.write(tensor);
    tensor.dispose();
    start += count;
  });
}
