import * as v from 'valibot';
import {InvalidArgumentError, ModelError, shown} from '../base/errors.js';
import {checkOptions} from '../base/options.js';
import {compressionKey, compressionToJson} from './architectures/parts/compression.js';
import type {LoadedModel} from './loaded_model.js';
import {modelOf} from './model_like.js';
import {saveGguf} from './save_gguf.js';
import {fileValues} from './formats/file_values.js';
import {type FilledVariables, filledVariables} from './formats/model_variables.js';
import {
  type RecordsToWrite,
  packedKey,
  packedTensorsToJson,
  recordsToWrite,
} from './formats/packed_tensors.js';
import {architectureOf} from './architectures/index.js';
import type {SamplingOptions} from './generate/options.js';
import type {Tokenizer} from './tokenizer/index.js';
import {diskError, writeFileAtomically} from '../base/files/disk.js';
import {type TensorToWrite, writeSafetensorsFile} from '../base/files/write_safetensors.js';

/** What `saveModel` writes of a model; a `LoadedModel` has it all. */
export type ModelToSave = Pick<LoadedModel, 'model' | 'config' | 'tokenizer'> &
  Partial<Pick<LoadedModel, 'chatTemplate' | 'generation' | 'name'>>;

export interface SaveModelOptions {
  /**
   * How weights are stored: in a folder all of them, in a GGUF file the matrices. 'F32' keeps every number, 'F16' halves the size and
   * rounds. Default: as they are in memory. Codes in a folder are then read by eigenkv only.
   */
  readonly dtype?: 'F32' | 'F16';
}

const schema = v.strictObject({
  dtype: v.optional(v.picklist(['F32', 'F16'], 'expected "F32" or "F16"')),
});

/**
 * Writes a model (Node only), one tensor at a time in memory: into one GGUF file if the path ends with .gguf, else into a folder.
 *
 * A folder has the hub's format: config.json, tokenizer.json, tokenizer_config.json (with the chat template), generation_config.json if
 * the model has sampling defaults, and model.safetensors with the hub's names and layouts. With `dtype` `loadModel(folder)` and the hub's
 * own libraries read it, whatever the weights were loaded from. Without it, matrices of codes are I32 tensors of their records, and config.json
 * says their formats (`eigenkv_weights`): `loadModel` reads the same bits again. Matrices of 16-bit floats are F16 or BF16, for the hub's
 * libraries, too. config.json is written last, so that an unfinished
 * folder is not taken for a model. A compressed model (`config.compression`) is saved the same way, with smaller attention matrices that
 * only eigenkv reads.
 *
 * A GGUF file has the same in itself; `loadModel` and llama.cpp read it. Packed matrices keep their numbers, as Q4_0, Q4_1, Q5_0, Q5_1,
 * Q8_0, Q6_K, F16 or BF16.
 *
 * @throws InvalidArgumentError if the model was disposed of, or the path or an option is not allowed; ModelError if the tokenizer was not
 *   made from a vocabulary file, or the format has no place for the model's config, its tokenizer or the numbers of a packed matrix;
 *   TransferError if the disk fails.
 */
export async function saveModel(
  given: ModelToSave,
  path: string,
  options: SaveModelOptions = {},
): Promise<void> {
  const {dtype} = checkOptions('saveModel', schema, options);
  if (typeof path !== 'string') {
    throw new InvalidArgumentError(`saveModel: path = ${shown(path)}; expected a path.`);
  }
  if (path.endsWith('.gguf')) await saveGguf(given, path, dtype);
  else await saveFolder(given, path, dtype);
}

async function saveFolder(
  given: ModelToSave,
  folder: string,
  dtype: 'F32' | 'F16' | undefined,
): Promise<void> {
  const model = modelOf(given);
  const {config, tokenizer, chatTemplate, generation = {}} = given;
  const {join} = process.getBuiltinModule('node:path');
  const {rm} = process.getBuiltinModule('node:fs/promises');
  const architecture = architectureOf(config);
  const filled = filledVariables(model, architecture.hubWeights(config));
  const packed = dtype === undefined ? packedOf(filled) : noneOfThem;
  const hubConfig = {
    ...architecture.toHub(config),
    ...(config.compression && {[compressionKey]: compressionToJson(config.compression)}),
    ...hubIds(tokenizer),
    ...(packed.records.size + packed.halves.size > 0 && {
      [packedKey]: packedTensorsToJson([...packed.records.values()]),
    }),
    torch_dtype: torchDtype(dtype === 'F16' ? [dtype] : [...packed.halves.values()]),
  };
  if (tokenizer.json === undefined) {
    throw new ModelError(
      'This tokenizer does not know its tokenizer.json; save a model with the one it was loaded with.',
    );
  }
  const tensors = filled.map(
    each => packed.records.get(each)?.tensor ?? toTensor(each, packed.halves.get(each) ?? dtype ?? 'F32'),
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

type HalfType = 'F16' | 'BF16';

/** Tensors whose matrices are packed: records of codes, or 16-bit floats. */
interface PackedTensors {
  readonly records: ReadonlyMap<FilledVariables, RecordsToWrite>;
  readonly halves: ReadonlyMap<FilledVariables, HalfType>;
}

const noneOfThem: PackedTensors = {records: new Map(), halves: new Map()};
const halfTypes: Readonly<Record<string, HalfType>> = {float16: 'F16', bfloat16: 'BF16'};

function packedOf(filled: readonly FilledVariables[]): PackedTensors {
  const records = new Map<FilledVariables, RecordsToWrite>();
  const halves = new Map<FilledVariables, HalfType>();
  for (const each of filled) {
    const found = recordsToWrite(each);
    const half = found && halfTypes[found.packed.format];
    if (half !== undefined) halves.set(each, half);
    else if (found !== undefined) records.set(each, found);
  }
  return {records, halves};
}

/** What the hub's libraries load a model as, if its matrices are written so. */
function torchDtype(halves: readonly HalfType[]): string {
  if (halves.includes('BF16')) return 'bfloat16';
  return halves.length > 0 ? 'float16' : 'float32';
}

function toTensor(filled: FilledVariables, dtype: 'F32' | HalfType): TensorToWrite {
  const {tensor: name, shape} = filled.stored;
  return {name, dtype, shape, data: () => fileValues(filled)};
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

function generationConfig(
  {temperature, topK = 0, topP, minP, typicalP, repetitionPenalty}: SamplingOptions,
  tokenizer: Tokenizer,
): object {
  return {
    ...{...hubIds(tokenizer), do_sample: true, temperature, top_k: topK, top_p: topP},
    ...{min_p: minP, typical_p: typicalP, repetition_penalty: repetitionPenalty},
  };
}

async function writeJson(path: string, value: unknown, indent?: number): Promise<void> {
  await writeFileAtomically(path, [new TextEncoder().encode(`${JSON.stringify(value, null, indent)}\n`)]);
}
