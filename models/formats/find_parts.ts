import * as v from 'valibot';
import {runsInNode} from '../../base/optional_package.js';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {fetchGgufFiles} from './fetch_file.js';
import {embeddedName, embeddedParts} from '../embedded_model.js';
import {
  type HubId,
  fetchAddress,
  fetchModel,
  isHubAddress,
  isHubId,
  isWebAddress,
  parseHubId,
} from '../hub/index.js';
import {callback} from '../../base/options.js';
import {progressEntries} from '../progress.js';
import {blobSource} from '../../base/files/byte_source.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type Warn, warnOnConsole} from '../../base/warn.js';
import {openGguf} from '../../base/files/gguf.js';
import {joinGgufParts, splitOf} from '../../base/files/split_gguf.js';
import {type Activations, activationsAllowed} from '../../ops/linear/reference.js';
import {type ModelParts, partsOfGguf, partsOfPath} from './model_parts.js';
import {type WeightSetting, weightSettings} from './weight_formats.js';

export interface LoadProgress {
  readonly stage: 'download' | 'weights';
  /** The file that is transferred or read. */
  readonly file: string;
  /** Bytes of that file. */
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  /**
   * How kernels, the token embedding and the output head are stored in memory. Vectors, norms and positions are float32.
   *
   * - `'asStored'`: as the file has them. 5 bits a weight for Q4_0, Q4_1, Q4_K and ternary types, 8.5 for Q5_0, Q8_0, Q2_K, IQ4_NL, IQ4_XS and
   *   MXFP4, 9 for Q5_1, Q3_K, Q5_K and Q6_K, 16 for F16 and BF16; F32 stays float32. Exact, but for the scales and minima of K types and
   *   IQ4_XS, which are rounded to float16 (by 2^-11 at most), and weights of Q2_K, which are rounded to 8 bits. On backends without kernels for packed weights (cpu, tensorflow, webgl) float32.
   * - `'float32'`: 32 bits a weight, exact for every dtype. Needed to train these weights.
   * - `'packed8'`: 8.5 bits. Wider weights are rounded to 8 bits with a scale per 32; quantised ones stay as they are.
   * - `'packed4'`: 5 bits. Wider weights are rounded to 4 bits with a scale and a minimum per 32, which costs quality (`evaluate` says
   *   how much); those of the embedding and the output head to 8 bits. Q4_0, Q4_1 and Q4_K stay as they are.
   *
   * Packed weights cannot be trained, and webgl cannot hold them. Default `'asStored'` for GGUF and for folders of packed weights,
   * `'float32'` for other safetensors.
   */
  readonly weights?: WeightSetting;
  /**
   * What inputs are rounded to before a product with weights of 4 or 8 bits, in blocks of 32. `'int8'` is faster for 4-bit weights if the
   * engine has relaxed SIMD, and costs as much quality as in llama.cpp, which always does it. Default `'int16'`.
   */
  readonly activations?: Activations;
  readonly onProgress?: (progress: LoadProgress) => void;
  /**
   * Called with each warning: contradictions between the files, assumptions, what was left out. Default: `console.warn`.
   */
  readonly onWarning?: (message: string) => void;
  /** Aborts a download immediately and loading within some 10 ms, with the signal's reason. Nothing stays in memory. */
  readonly signal?: AbortSignal;
}

/** The schema of `LoadModelOptions`. */
export const loadSchema = v.strictObject({
  weights: v.optional(v.picklist(weightSettings, `expected one of ${weightSettings.join(', ')}`)),
  activations: v.optional(v.picklist(activationsAllowed, `expected ${activationsAllowed.join(' or ')}`)),
  onProgress: v.optional(callback<NonNullable<LoadModelOptions['onProgress']>>()),
  onWarning: v.optional(callback<Warn>()),
  signal: progressEntries.signal,
});

/**
 * The parts of a model and the `source` that names it: config and tokenizer read, weights open, to be closed by the caller.
 * See `loadModel` for what may be given and what is thrown.
 */
export async function findParts(
  given: string | Blob | readonly Blob[] | undefined,
  options: LoadModelOptions = {},
): Promise<{parts: ModelParts; source: string}> {
  const {onWarning = warnOnConsole} = options;
  if (given === undefined) return embedded();
  if (typeof given !== 'string') return partsOfBlobs(checkedBlobs(given), onWarning);
  if (!runsInNode()) {
    if (given === embeddedName) return embedded();
    const {parts} = await partsOfBlobs(await fetchedFiles(given, options), onWarning);
    return {parts, source: given};
  }
  const {stat} = process.getBuiltinModule('node:fs/promises');
  const {resolve} = process.getBuiltinModule('node:path');
  const isLocal = await stat(given).then(
    () => true,
    () => false,
  );
  if (isLocal) return {parts: await partsOfPath(resolve(given), onWarning), source: resolve(given)};
  if (given === embeddedName) return embedded();
  const path = await download(given, options);
  return {parts: {...(await partsOfPath(path, onWarning)), name: given}, source: given};
}

const embedded = async () => ({parts: await embeddedParts(), source: embeddedName});

/** @throws InvalidArgumentError if something else was given, as JavaScript allows. */
function checkedBlobs(given: unknown): readonly Blob[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const isBlob = (one: unknown): one is Blob => one instanceof Blob;
  if (list.every(isBlob)) return list;
  throw new InvalidArgumentError(
    `A model is loaded from ${shown(list.find(one => !isBlob(one)))}, which is no Blob. Give a path or a hub id as one text, a File or ` +
      'another Blob of a .gguf, or a list of the Blobs of all its parts.',
  );
}

/** A GGUF file as a Blob, or all parts of a split one. */
async function partsOfBlobs(
  blobs: readonly Blob[],
  warn: Warn,
): Promise<{parts: ModelParts; source: string}> {
  const files: {file: TensorFile; name: string}[] = [];
  for (const blob of blobs) {
    const source = blobSource(blob);
    files.push({file: await openGguf(source), name: source.name});
  }
  const [first] = files;
  if (first === undefined) {
    throw new InvalidArgumentError('There is no file in the list; give a GGUF file, or all parts of one.');
  }
  const isWhole = files.length === 1 && splitOf(first.file, first.name) === undefined;
  const weights = isWhole ? first.file : await joinGgufParts(files);
  return {parts: await partsOfGguf(weights, first.name, warn), source: first.name};
}

function fetchedFiles(address: string, {onProgress, signal}: LoadModelOptions): Promise<File[]> {
  return fetchGgufFiles(address, {
    signal,
    onProgress: progress => onProgress?.({stage: 'download', ...progress}),
  });
}

/** The path of what was downloaded from the hub or another server. */
function download(given: string, {onProgress, signal}: LoadModelOptions): Promise<string> {
  const id = checkedId(given);
  return (id === undefined ? fetchAddress : fetchModel)(given, {
    signal,
    onProgress: ({file, receivedBytes, totalBytes}) => {
      onProgress?.({stage: 'download', file, done: receivedBytes, total: totalBytes ?? receivedBytes});
    },
  });
}

/**
 * What a text says of a model on the hub; undefined for the address of another server.
 * @throws InvalidArgumentError if it is neither, or names one of several files that a model needs.
 */
function checkedId(given: string): HubId | undefined {
  const isHub = isHubAddress(given);
  if (isWebAddress(given) && !isHub) return undefined;
  // a mistyped path of a weight file also reads as owner/name; the hub need not be asked for those
  if (!isHubId(given) || (!isHub && /^[^:]*\.(gguf|safetensors|json)$/.test(given))) {
    throw new InvalidArgumentError(
      `There is no file or folder ${given}, and it is not a hub id. Give a .gguf file, a folder with config.json, tokenizer.json ` +
        'and model.safetensors, the address of a .gguf file, or a hub id: owner/name, owner/name:file.gguf, or owner/name:Q4_K_M.',
    );
  }
  const id = parseHubId(given);
  if (!/\.(safetensors|json)$/.test(id.file ?? '')) return id;
  const whole = `${id.owner}/${id.name}${id.revision === 'main' ? '' : `@${id.revision}`}`;
  throw new InvalidArgumentError(
    `${given} is one of the files of a model, and none without the others. Give ${whole}: then all of them are downloaded.`,
  );
}
