import type * as tf from '@tensorflow/tfjs';
import type {KernelInitializer} from '../../layers/layer_args.js';
import {ModelError, didYouMean} from '../../base/errors.js';
import type {Architecture} from './parts/architecture.js';
import {gpt2} from './gpt2.js';
import {llama} from './llama.js';
import {compressionFromJson, compressionKey} from './parts/compression.js';
import {type ModelConfig, checkModelConfig} from './parts/model_config.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import type {TensorFile} from '../../base/files/tensor_file.js';

/** Every architecture, by the name that `ModelConfig` gives it. */
export const architectures: Readonly<Record<ModelConfig['architecture'], Architecture>> = {
  gpt2,
  llama,
};

/**
 * A model of these sizes with weights to be trained, or to be set: a `tf.LayersModel` from int32 ids `[batch, tokens]` to
 * float32 logits `[batch, tokens, vocabSize]`.
 *
 * @param options `kernelInitializer`: how matrices start. Default 'glorotUniform'.
 * @throws ModelError where the sizes do not fit each other.
 */
export function buildModel(
  config: ModelConfig,
  {kernelInitializer = 'glorotUniform'}: {readonly kernelInitializer?: KernelInitializer} = {},
): tf.LayersModel {
  checkModelConfig(config);
  return architectureOf(config).build(config, {kernelInitializer});
}

export function architectureOf({architecture}: ModelConfig): Architecture {
  const found = Object.entries(architectures).find(([name]) => name === architecture);
  if (found !== undefined) return found[1];
  throw unknownArchitecture('The model config', architecture, Object.keys(architectures));
}

/**
 * Reads the keys of a hub's config.json.
 * @throws ModelError that names the key which is missing, contradicts another one, or is not supported.
 */
export function configFromHub(keys: Readonly<Record<string, unknown>>): ModelConfig {
  const {model_type: type, quantization_config: quantized} = keys;
  const all = Object.values(architectures);
  const architecture = all.find(({hubTypes}) => typeof type === 'string' && hubTypes.includes(type));
  if (architecture === undefined) {
    throw unknownArchitecture(
      'config.json (model_type)',
      type,
      all.flatMap(({hubTypes}) => hubTypes),
    );
  }
  if (quantized !== undefined && quantized !== null) {
    throw new ModelError(
      'config.json has a quantization_config: its weights are packed in a way of its own. Use the plain safetensors of the ' +
        'model, or a GGUF file of it.',
    );
  }
  const config = architecture.fromHub(keys);
  const compressed = keys[compressionKey];
  return checked(
    compressed === undefined ? config : {...config, compression: compressionFromJson(compressed, config)},
  );
}

/** Reads the metadata of a GGUF file; see `configFromHub`. */
export async function configFromGguf(file: TensorFile): Promise<ModelConfig> {
  const type = metadataString(file.metadata, 'general.architecture');
  const all = Object.values(architectures);
  const architecture = all.find(({ggufTypes}) => type !== undefined && ggufTypes.includes(type));
  if (architecture === undefined) {
    throw unknownArchitecture(
      'The GGUF file (general.architecture)',
      type,
      all.flatMap(({ggufTypes}) => ggufTypes),
    );
  }
  return checked(await architecture.fromGguf(file));
}

function checked(config: ModelConfig): ModelConfig {
  checkModelConfig(config);
  return config;
}

function unknownArchitecture(where: string, given: unknown, known: readonly string[]): ModelError {
  const name = typeof given === 'string' ? given : '';
  return new ModelError(
    given === undefined
      ? `${where} does not say what architecture the model has; eigenkv knows ${known.join(', ')}.`
      : `${where} names the architecture ${JSON.stringify(given)}; eigenkv knows ${known.join(', ')}.${didYouMean(name, known)}`,
  );
}
