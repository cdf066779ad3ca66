import {FormatError, InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import {type Warn, warnOnConsole} from '../../base/warn.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import {configFromGguf, configFromHub} from '../architectures/index.js';
import type {LoadedModel} from '../loaded_model.js';
import {type Tokenizer, tokenizerFromGguf, tokenizerFromJson} from '../tokenizer/index.js';
import type {TokenizerFiles} from '../tokenizer/configured_tokens.js';
import {diskError, errorCode} from '../../base/files/disk.js';
import {parseJsonText, textOfBytes} from '../../base/files/json_text.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {fittedTokenizer} from './fit_tokenizer.js';
import {withOwnHead} from './own_head.js';
import {packedKey, withPackedTensors} from './packed_tensors.js';
import {samplingOfGguf, samplingOfHub, templateOfConfig} from './use_defaults.js';

/** The parts of a model, as its files describe them. The weights are open and not read yet. */
export interface ModelParts extends Pick<
  LoadedModel,
  'name' | 'config' | 'tokenizer' | 'generation' | 'chatTemplate'
> {
  /** To be closed by whoever asked for the parts. */
  readonly weights: TensorFile;
}

/** The JSON files of a hub model, parsed; undefined if the model has none. */
export interface HubFiles extends TokenizerFiles {
  readonly config: unknown;
  readonly tokenizer: unknown;
  readonly generationConfig?: unknown;
  /** The text of chat_template.jinja; it comes before the template in tokenizer_config.json. */
  readonly chatTemplate?: string | undefined;
  /** chat_template.json, where processors of older models have it; it comes last. */
  readonly chatTemplateJson?: unknown;
}

/** A model in one GGUF file, which contains the tokenizer. Closes the file if it is incomplete. */
export async function partsOfGguf(
  weights: TensorFile,
  fileName: string,
  warn: Warn = warnOnConsole,
): Promise<ModelParts> {
  return closingOnError(weights, async () => {
    const name = metadataString(weights.metadata, 'general.name') ?? fileName.replace(/\.gguf$/, '');
    const config = await configFromGguf(weights);
    sayWhatIsHeld(config, 'The GGUF file', warn);
    const tokenizer = fittedTokenizer(tokenizerFromGguf(weights.metadata, warn), config, warn);
    return {
      ...{name, config, tokenizer, weights},
      generation: samplingOfGguf(weights.metadata, warn),
      chatTemplate: metadataString(weights.metadata, 'tokenizer.chat_template'),
    };
  });
}

/** A model in the hub's files. Closes the weights if the files do not fit each other. */
export async function partsOfHubFiles(
  files: HubFiles,
  weights: TensorFile,
  name: string,
  warn: Warn = warnOnConsole,
): Promise<ModelParts> {
  return closingOnError(weights, async () => {
    if (!isRecord(files.config)) throw new FormatError(`The config.json of ${name} is not a JSON object.`);
    const matrices = withPackedTensors(weights, files.config[packedKey]);
    const config = await withOwnHead(configFromHub(files.config), matrices, warn);
    sayWhatIsHeld(config, 'config.json', warn);
    const tokenizer = tokenizerFromJson(files.tokenizer, files.tokenizerConfig ?? {}, files, warn);
    return {
      name,
      config,
      tokenizer: fittedTokenizer(withConfiguredIds(tokenizer, files), config, warn),
      weights: matrices,
      generation: samplingOfHub(files.generationConfig, warn),
      chatTemplate:
        files.chatTemplate ??
        templateOfConfig(files.tokenizerConfig, 'tokenizer_config.json') ??
        templateOfConfig(files.chatTemplateJson, 'chat_template.json'),
    };
  });
}

/** Keys that were rotated cannot follow a rotation that changes with the text's length. */
function sayWhatIsHeld({rope}: ModelConfig, file: string, warn: Warn): void {
  const {scaling} = rope ?? {};
  if (scaling?.type !== 'dynamic' && scaling?.type !== 'longrope') return;
  const {type, maxPositions, originalMaxPositions} = scaling;
  if (maxPositions <= originalMaxPositions) return;
  warn(
    `${file} has the rotation "${type}", which changes with the length of a text; it is held as for ${maxPositions} ` +
      `tokens. ${type === 'dynamic' ? 'Shorter texts' : `Texts of at most ${originalMaxPositions} tokens`} come out otherwise than in transformers.`,
  );
}

/** The configs name first and last tokens too, and often more of them than the tokenizer's own files. */
function withConfiguredIds(tokenizer: Tokenizer, {config, generationConfig}: HubFiles): Tokenizer {
  const configured = (key: string) => [
    ...tokenIds(config, key, 'config.json'),
    ...tokenIds(generationConfig, key, 'generation_config.json'),
  ];
  const bosId = tokenizer.bosId ?? configured('bos_token_id')[0];
  const eosIds = [...new Set([...tokenizer.eosIds, ...configured('eos_token_id')])];
  return {...tokenizer, bosId, eosIds};
}

function tokenIds(config: unknown, key: string, file: string): number[] {
  const value = isRecord(config) ? config[key] : undefined;
  const ids: unknown[] = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
  return ids.map(id => {
    if (typeof id === 'number' && Number.isSafeInteger(id)) return id;
    throw new ModelError(`${file} has ${key} = ${shown(value)}; expected an id, a list of ids, or null.`);
  });
}

/**
 * A model on disk (Node only): a .gguf file, a folder of the hub's files, or one of the files in such a folder.
 * @throws InvalidArgumentError if a file that a model needs is missing, naming it.
 */
export async function partsOfPath(path: string, warn: Warn = warnOnConsole): Promise<ModelParts> {
  const {stat} = process.getBuiltinModule('node:fs/promises');
  const {basename, dirname, join} = process.getBuiltinModule('node:path');
  if ((await stat(path)).isDirectory()) {
    const {file, isGguf} = await weightsOfFolder(path);
    return isGguf ? partsOfPath(join(path, file), warn) : partsOfFolder(path, file, warn);
  }
  if (/\.json$/.test(path) && !/\.index\.json$/.test(path)) return partsOfPath(dirname(path), warn);
  const weights = await openTensorPath(path);
  return weights.format === 'gguf'
    ? partsOfGguf(weights, basename(path), warn)
    : partsOfFolder(dirname(path), basename(path), warn, weights);
}

/** The names that the hub's library gives to weights, in the order in which it looks for them. */
const hubWeightFiles = ['model.safetensors', 'model.safetensors.index.json'];

async function weightsOfFolder(folder: string): Promise<{file: string; isGguf: boolean}> {
  const {readdir} = process.getBuiltinModule('node:fs/promises');
  const files = await readdir(folder);
  const hubFile = hubWeightFiles.find(name => files.includes(name));
  if (hubFile !== undefined) return {file: hubFile, isGguf: false};
  const ggufs = files.filter(name => name.endsWith('.gguf')).sort();
  const [first] = ggufs;
  const parts = first === undefined ? undefined : namesOfParts(first);
  if (first !== undefined && ggufs.every(name => name === first || parts?.includes(name) === true)) {
    return {file: first, isGguf: true};
  }
  throw new InvalidArgumentError(
    first === undefined
      ? `${folder} holds no weights: there is no ${hubWeightFiles.join(', no ')} and no .gguf file in it.${otherWeights(files)}`
      : `${folder} holds ${ggufs.length} GGUF files; name one of them: ${ggufs.slice(0, 20).join(', ')}.`,
  );
}

/** Files that look like weights, in a folder without usable ones. */
function otherWeights(files: readonly string[]): string {
  const other = files.filter(name => /\.(safetensors|bin|pth?|ckpt|h5|onnx)$/.test(name)).sort()[0];
  if (other === undefined) return '';
  return other.endsWith('.safetensors')
    ? ` It does hold ${other}: name that file, or put the index of the shards beside it.`
    : ` ${other} is of a kind that is not read: convert it to safetensors.`;
}

async function partsOfFolder(
  folder: string,
  file: string,
  warn: Warn,
  opened?: TensorFile,
): Promise<ModelParts> {
  const {basename, join} = process.getBuiltinModule('node:path');
  const read = (name: string) => readIfThere(join(folder, name), parseJsonText);
  const readNeeded = async (name: string) => {
    const value = await read(name);
    if (value !== undefined) return value;
    throw new InvalidArgumentError(`${folder} holds ${file} but no ${name}; put the model's file beside it.`);
  };
  const readAll = async (): Promise<HubFiles> => ({
    config: await readNeeded('config.json'),
    tokenizer: await readNeeded('tokenizer.json'),
    tokenizerConfig: await read('tokenizer_config.json'),
    specialTokensMap: await read('special_tokens_map.json'),
    addedTokens: await read('added_tokens.json'),
    generationConfig: await read('generation_config.json'),
    chatTemplate: await readIfThere(join(folder, 'chat_template.jinja'), textOfBytes),
    chatTemplateJson: await read('chat_template.json'),
  });
  const files = opened === undefined ? await readAll() : await closingOnError(opened, readAll);
  const weights = opened ?? (await openTensorPath(join(folder, file)));
  return partsOfHubFiles(files, weights, basename(folder), warn);
}

/** The parsed file; undefined if there is no such file. */
async function readIfThere<T>(
  path: string,
  parse: (bytes: Uint8Array, name: string) => T,
): Promise<T | undefined> {
  const {readFile} = process.getBuiltinModule('node:fs/promises');
  const bytes = await readFile(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw diskError(error, `read ${path}`);
  });
  return bytes && parse(bytes, path);
}

async function closingOnError<T>(weights: TensorFile, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    await weights.close();
    throw error;
  }
}
