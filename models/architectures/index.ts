import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, ModelError, didYouMean} from '../../base/errors.js';
import type {Architecture} from './parts/architecture.js';
import type {BuildOptions} from './parts/build_options.js';
import {bloom} from './bloom.js';
import {gemma} from './gemma.js';
import {gemma2} from './gemma2.js';
import {gemma3} from './gemma3.js';
import {gpt2} from './gpt2.js';
import {gptNeo} from './gpt_neo.js';
import {gptNeox} from './gpt_neox.js';
import {granite} from './granite.js';
import {llama} from './llama.js';
import {mistral} from './mistral.js';
import {olmo2} from './olmo2.js';
import {opt} from './opt.js';
import {phi} from './phi.js';
import {phi3} from './phi3.js';
import {qwen3} from './qwen3.js';
import {seedOss} from './seed_oss.js';
import {smollm3} from './smollm3.js';
import {stablelm} from './stablelm.js';
import {starcoder2} from './starcoder2.js';
import {compressionFromJson, compressionKey} from './parts/compression.js';
import {type ModelConfig, checkModelConfig} from './parts/model_config.js';
import {whatItNeeds} from './parts/refused_types.js';
import {isRecord} from '../../base/records.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import type {TensorFile} from '../../base/files/tensor_file.js';

/** The architectures of the package. Each is one file in this folder. */
export const architectures = {
  ...{bloom, gemma, gemma2, gemma3, gpt2, granite, llama, mistral, olmo2, opt, phi, phi3, qwen3, smollm3},
  ...{stablelm, starcoder2},
  gpt_neo: gptNeo,
  gpt_neox: gptNeox,
  seed_oss: seedOss,
};

/** Those of the package and those that users add, by the name that `ModelConfig` gives them. */
const known = new Map<string, Architecture>(Object.entries(architectures));

/**
 * Adds an architecture of your own, so that `loadModel`, `buildModel` and `saveModel` know it.
 *
 * @param name what `ModelConfig.architecture` calls it.
 * @throws InvalidArgumentError if the name is taken, or if another architecture reads files of the same type.
 */
export function registerArchitecture(name: string, architecture: Architecture): void {
  if (known.has(name)) {
    throw new InvalidArgumentError(`There is an architecture "${name}" already; give yours another name.`);
  }
  for (const types of ['hubTypes', 'ggufTypes'] as const) {
    for (const [other, {[types]: taken}] of known) {
      const type = architecture[types].find(each => taken.includes(each));
      if (type === undefined) continue;
      throw new InvalidArgumentError(
        `registerArchitecture: the architecture "${other}" reads files of the type "${type}" already; leave it out of ${types}.`,
      );
    }
  }
  known.set(name, architecture);
}

/**
 * A model of these sizes with initial weights, to be trained or to be set: a `tf.LayersModel` from int32 ids `[batch, tokens]` to
 * float32 logits `[batch, tokens, vocabSize]`.
 *
 * @param options how matrices start (default 'glorotUniform'), and how they are stored (default float32).
 * @throws ModelError if the sizes do not fit each other, or if the architecture is unknown.
 */
export function buildModel(
  config: ModelConfig,
  {kernelInitializer = 'glorotUniform', ...options}: Partial<BuildOptions> = {},
): tf.LayersModel {
  checkModelConfig(config);
  return architectureOf(config).build(config, {...options, kernelInitializer});
}

export function architectureOf({architecture}: ModelConfig): Architecture {
  const found = known.get(architecture);
  if (found !== undefined) return found;
  throw unknownArchitecture('The model config', architecture, [...known.keys()]);
}

/**
 * Reads the keys of a hub's config.json.
 * @throws ModelError that names the key which is missing, contradicts another one, or is not supported.
 */
export function configFromHub(given: Readonly<Record<string, unknown>>): ModelConfig {
  const keys = textModelOf(given);
  const {model_type: type, quantization_config: quantized} = keys;
  const all = [...known.values()];
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

/** Models that read images, too, beside a text model whose config is in `text_config`. */
const withText = ['gemma3', 'mistral3'];

/** The keys of the text model. */
function textModelOf(keys: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const {model_type: type, text_config: text, tie_word_embeddings, quantization_config} = keys;
  if (typeof type !== 'string' || !withText.includes(type) || !isRecord(text)) return keys;
  return {tie_word_embeddings, quantization_config, ...text};
}

/** Reads the metadata of a GGUF file; see `configFromHub`. */
export async function configFromGguf(file: TensorFile): Promise<ModelConfig> {
  const type = metadataString(file.metadata, 'general.architecture');
  const all = [...known.values()];
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
  const needs = whatItNeeds(name);
  if (needs !== undefined) {
    return new ModelError(
      `${where} names the architecture "${name}". Its models need ${needs}, which eigenkv does not have; it knows ${known.join(', ')}.`,
    );
  }
  return new ModelError(
    given === undefined
      ? `${where} does not say what architecture the model has; eigenkv knows ${known.join(', ')}.`
      : `${where} names the architecture ${JSON.stringify(given)}; eigenkv knows ${known.join(', ')}.${didYouMean(name, known)}`,
  );
}
