import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError, ModelError, shown} from '../base/errors.js';
import {checkOptions} from '../base/options.js';
import {compressionKey, compressionToJson} from './architectures/parts/compression.js';
import type {LoadedModel} from './loaded_model.js';
import {modelOf} from './model_like.js';
import {joinColumns, transpose} from './formats/layouts.js';
import {type FilledVariables, filledVariables} from './formats/model_variables.js';
import {architectureOf} from './architectures/index.js';
import type {SamplingOptions} from './generate/options.js';
import type {Tokenizer} from './tokenizer/index.js';
import {diskError, writeFileAtomically} from '../base/files/disk.js';
import {type TensorToWrite, writeSafetensorsFile} from '../base/files/write_safetensors.js';

/** What `saveModel` writes of a model; a `LoadedModel` has it all. */
export type ModelToSave = Pick<LoadedModel, 'model' | 'config' | 'tokenizer'> &
  Partial<Pick<LoadedModel, 'chatTemplate' | 'generation'>>;

export interface SaveModelOptions {
  /** How weights are stored. F16 halves the size and rounds. Default 'F32'. */
  readonly dtype?: 'F32' | 'F16';
}

const schema = v.strictObject({
  dtype: v.optional(v.picklist(['F32', 'F16'], 'expected "F32" or "F16"'), 'F32'),
});

/**
 * Writes a model into a folder in the hub's format (Node only): config.json, tokenizer.json, tokenizer_config.json (with the chat
 * template), generation_config.json if the model has sampling defaults, and model.safetensors with the hub's names and layouts.
 * `loadModel(folder)` and the hub's own libraries read it. A GGUF file becomes safetensors this way, whatever its weights were stored
 * as. One tensor at a time is in memory. config.json is written last, so that an unfinished folder is not taken for a model. A
 * compressed model (`config.compression`) is saved the same way, with smaller attention matrices that only eigenkv reads.
 *
 * @throws InvalidArgumentError if the model was disposed of, or the folder or an option is not allowed; ModelError if the tokenizer was not made from a vocabulary file, or no
 *   config.json describes the model; TransferError if the disk fails.
 */
export async function saveModel(
  given: ModelToSave,
  folder: string,
  options: SaveModelOptions = {},
): Promise<void> {
  const {dtype} = checkOptions('saveModel', schema, options);
  if (typeof folder !== 'string') {
    throw new InvalidArgumentError(`saveModel: folder = ${shown(folder)}; expected a path.`);
  }
  const model = modelOf(given);
  const {config, tokenizer, chatTemplate, generation = {}} = given;
  const {join} = process.getBuiltinModule('node:path');
  const {rm} = process.getBuiltinModule('node:fs/promises');
  const architecture = architectureOf(config);
  const hubConfig = {
    ...architecture.toHub(config),
    ...(config.compression && {[compressionKey]: compressionToJson(config.compression)}),
    ...hubIds(tokenizer),
    torch_dtype: dtype === 'F32' ? 'float32' : 'float16',
  };
  if (tokenizer.json === undefined) {
    throw new ModelError(
      'This tokenizer does not know its tokenizer.json; save a model with the one it was loaded with.',
    );
  }
  const tensors = filledVariables(model, architecture.hubWeights(config)).map(filled =>
    toTensor(filled, dtype),
  );
  await rm(join(folder, 'config.json'), {force: true}).catch((error: unknown) => {
    throw diskError(error, `write ${folder}`);
  });
  await writeSafetensorsFile(join(folder, 'model.safetensors'), tensors, {metadata: {format: 'pt'}});
  await writeJson(join(folder, 'tokenizer.json'), tokenizer.json);
  await writeJson(
    join(folder, 'tokenizer_config.json'),
    {...tokenizerConfig(tokenizer), chat_template: chatTemplate},
    2,
  );
  if (generation.temperature !== undefined) {
    await writeJson(join(folder, 'generation_config.json'), generationConfig(generation, tokenizer), 2);
  }
  await writeJson(join(folder, 'config.json'), hubConfig, 2);
}

function toTensor({stored, variables, columns}: FilledVariables, dtype: 'F32' | 'F16'): TensorToWrite {
  return {
    name: stored.tensor,
    dtype,
    shape: stored.shape,
    data: async () => {
      const parts = await Promise.all(
        variables.map(async (variable, i) => ({values: await valuesOf(variable), columns: columns[i]!})),
      );
      const joined = joinColumns(parts);
      const [outputs, inputs] = stored.shape;
      return stored.transposed && inputs !== undefined ? transpose(joined, inputs, outputs!) : joined;
    },
  };
}

async function valuesOf(variable: tf.LayerVariable): Promise<Float32Array> {
  return await variable.read().data<'float32'>();
}

function hubIds({bosId, eosIds}: Tokenizer): Record<string, unknown> {
  const [only] = eosIds;
  return {
    ...(bosId !== undefined && {bos_token_id: bosId}),
    ...(only !== undefined && {eos_token_id: eosIds.length === 1 ? only : eosIds}),
  };
}

function tokenizerConfig({bosId, eosIds, token, isSilent}: Tokenizer): Record<string, unknown> {
  const end = eosIds.find(id => isSilent?.(id, {skipSpecial: false}) !== true); // padding may end a text, and has no name
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    ...(bosId !== undefined && {bos_token: token(bosId)}),
    ...(end !== undefined && {eos_token: token(end)}),
  };
}

function generationConfig({temperature, topK = 0, topP}: SamplingOptions, tokenizer: Tokenizer): object {
  return {...hubIds(tokenizer), do_sample: true, temperature, top_k: topK, top_p: topP};
}

async function writeJson(path: string, value: unknown, indent?: number): Promise<void> {
  await writeFileAtomically(path, [new TextEncoder().encode(`${JSON.stringify(value, null, indent)}\n`)]);
}
