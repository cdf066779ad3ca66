import * as tf from '@tensorflow/tfjs';
import {ModelError, didYouMean} from '../../ops/errors.js';
import {type StoredWeight, isKernel} from '../architecture.js';
import type {ModelConfig} from '../model_config.js';
import {architectureOf} from '../registry.js';
import {metadataString} from '../weights/gguf_metadata.js';
import type {TensorFile} from '../../ops/files/tensor_file.js';

/**
 * The tensors of a file that fill a model of this config, by the names that they have there. Everything that the file's
 * header can tell is checked, before a model is built and memory taken.
 *
 * @throws ModelError where a tensor is missing or of another shape than the config says, where the file holds tensors that
 *   such a model has no place for, or where the backend cannot hold the model.
 */
export function checkedWeights(file: TensorFile, config: ModelConfig): StoredWeight[] {
  if (config.depths > file.tensors.size) {
    throw new ModelError(
      `The model's config says ${config.depths} depths, but there are only ${file.tensors.size} tensors: config and weights ` +
        'contradict each other.',
    );
  }
  const weights = weightsIn(file, config);
  for (const {tensor, shape} of weights) {
    const found = file.tensors.get(tensor);
    if (found === undefined) {
      throw new ModelError(
        `The weights lack the tensor "${tensor}", which a model of this config needs.${didYouMean(tensor, [...file.tensors.keys()])}`,
      );
    }
    if (found.shape.join() !== shape.join()) {
      throw new ModelError(
        `Tensor "${tensor}" is [${found.shape.join(', ')}]; by the model's config it should be [${shape.join(', ')}].`,
      );
    }
  }
  const known = new Set(weights.map(({tensor}) => tensor));
  const {isIgnored} = architectureOf(config);
  const unknown = [...file.tensors.keys()].filter(name => !known.has(name) && !isIgnored(name, config));
  if (unknown.length > 0) {
    throw new ModelError(
      `The weights hold ${unknown.length} tensors that a model of this config has no place for, such as "${unknown[0]!}": ` +
        'config and weights contradict each other, or the model is of another kind.',
    );
  }
  checkMemory(weights);
  return weights;
}

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

/** What a WebAssembly memory of 32-bit addresses can hold, less a quarter of a GiB to compute in. */
const wasmBytes = 3.75 * 2 ** 30;

/** Beyond its limit, tfjs' wasm backend overwrites tensors silently (4.22). */
function checkMemory(weights: readonly StoredWeight[]): void {
  if (tf.getBackend() !== 'wasm') return;
  // XNNPACK keeps a copy of each matrix that it multiplies by, in its own order
  const numbers = weights.reduce((sum, {shape, variables}) => {
    const size = shape.reduce((product, axis) => product * axis, 1);
    return sum + (isKernel({variables}) ? 2 : 1) * size;
  }, 0);
  if (4 * numbers <= wasmBytes) return;
  throw new ModelError(
    `This model needs ${((4 * numbers) / 2 ** 30).toFixed(1)} GiB on the wasm backend, which has ${wasmBytes / 2 ** 30} GiB. ` +
      "Choose a smaller model, or another backend: 'tensorflow' in Node, 'webgpu' in a browser.",
  );
}
