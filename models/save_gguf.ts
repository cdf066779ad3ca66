import {ModelError} from '../base/errors.js';
import {type GgufTensor, writeGgufFile} from '../base/files/write_gguf.js';
import {type GgufValue, float32, uint32} from '../base/files/write_gguf_metadata.js';
import {architectureOf} from './architectures/index.js';
import type {GgufConfig} from './architectures/parts/architecture.js';
import {isKernel} from './architectures/parts/architecture.js';
import {isEmbedding} from './formats/check_weights.js';
import {type PlainType, ggufTensor} from './formats/gguf_tensors.js';
import {filledVariables} from './formats/model_variables.js';
import type {SamplingOptions} from './generate/options.js';
import type {LoadedModel} from './loaded_model.js';
import {modelOf} from './model_like.js';
import {tokenizerToGguf} from './tokenizer/to_gguf.js';

/** What a GGUF file says of a model beside its weights. */
export type GgufModel = Pick<LoadedModel, 'config' | 'tokenizer'> &
  Partial<Pick<LoadedModel, 'chatTemplate' | 'generation' | 'name'>>;

/**
 * Writes a model into one GGUF file (Node only), tokenizer, chat template and sampling defaults included. `loadModel` and llama.cpp read
 * it. Packed matrices keep their numbers: Q4_0 or Q4_1, Q5_0, Q5_1 or Q8_0, Q6_K, F16, BF16; all else is float32.
 *
 * @param dtype what matrices, the token embedding and the output head are stored as instead.
 * @throws ModelError if the format has no place for the model's config, its tokenizer or the numbers of a packed matrix.
 */
export async function saveGguf(
  given: GgufModel & Pick<LoadedModel, 'model'>,
  path: string,
  dtype: PlainType | undefined,
): Promise<void> {
  const model = modelOf(given);
  const stated = statedConfig(given);
  const filled = filledVariables(model, architectureOf(given.config).ggufWeights(given.config, stated.type));
  const tensors: GgufTensor[] = [...(stated.tensors ?? [])];
  for (const each of filled) {
    tensors.push(await ggufTensor(each, isKernel(each.stored) || isEmbedding(each.stored), dtype));
  }
  const {basename} = process.getBuiltinModule('node:path');
  const name = given.name ?? basename(path, '.gguf');
  await writeGgufFile(path, {metadata: ggufMetadata({...given, name}, tensors), tensors});
}

/** The numbers of `general.file_type` that stand for a type of most tensors (`llama_ftype` of llama.h). */
const fileTypes: Readonly<Record<string, number>> = {
  ...{F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_0: 8, Q5_1: 9, Q4_K: 15, Q5_K: 17, Q6_K: 18, BF16: 32},
};

/**
 * The metadata of a GGUF file with this model.
 * @param tensors the types of the file's tensors.
 * @throws ModelError if the format has no place for the config or the tokenizer.
 */
export function ggufMetadata(
  model: GgufModel,
  tensors: readonly Pick<GgufTensor, 'dtype' | 'shape'>[],
): Map<string, GgufValue> {
  const {config, tokenizer, chatTemplate, generation, name} = model;
  const {type, keys} = statedConfig(model);
  const dtype = mostUsed(tensors);
  return new Map<string, GgufValue>([
    ['general.architecture', type],
    ['general.type', 'model'],
    ...(name === undefined ? [] : [['general.name', name] as const]),
    ...(dtype in fileTypes ? [['general.file_type', uint32(fileTypes[dtype]!)] as const] : []),
    ['general.quantization_version', uint32(2)],
    ...sampling(generation ?? {}),
    ...Object.entries(keys).map(([key, value]) => [`${type}.${key}`, value] as const),
    ...tokenizerToGguf(tokenizer, config.vocabSize),
    ...(chatTemplate === undefined ? [] : [['tokenizer.chat_template', chatTemplate] as const]),
  ]);
}

/** The config as the format states it. */
function statedConfig({config}: Pick<GgufModel, 'config'>): GgufConfig {
  const {toGguf} = architectureOf(config);
  if (config.compression !== undefined || toGguf === undefined) {
    const what =
      toGguf === undefined ? `models of the architecture "${config.architecture}"` : 'low-rank attention';
    throw new ModelError(
      `A GGUF file has no place for ${what}. Save the model into a folder instead (a path without .gguf).`,
    );
  }
  return toGguf(config);
}

/** The type of most numbers. */
function mostUsed(tensors: readonly Pick<GgufTensor, 'dtype' | 'shape'>[]): string {
  const numbers = new Map<string, number>();
  for (const {dtype, shape} of tensors) {
    const count = shape.reduce((product, axis) => product * axis, 1);
    numbers.set(dtype, (numbers.get(dtype) ?? 0) + count);
  }
  return [...numbers].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'F32';
}

function* sampling({
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
}: SamplingOptions): Generator<readonly [string, GgufValue]> {
  if (temperature === undefined) return;
  yield ['general.sampling.temp', float32(temperature)];
  if (topK !== undefined) yield ['general.sampling.top_k', {type: 'int32', value: topK}];
  if (topP !== undefined) yield ['general.sampling.top_p', float32(topP)];
  if (minP !== undefined) yield ['general.sampling.min_p', float32(minP)];
  if (repetitionPenalty !== undefined) {
    yield ['general.sampling.penalty_repeat', float32(repetitionPenalty)];
  }
}
