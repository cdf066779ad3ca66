import * as tf from '@tensorflow/tfjs';
import {defaultBackend, useBackend} from '../ops/backends/use_backend.js';
import {InvalidArgumentError, ModelError} from '../ops/errors.js';
import {embeddedParts} from './embedded.js';
import {fetchModel, isHubId} from './hub.js';
import {fillWeights} from './load/fill_weights.js';
import {type ModelParts, partsOfGguf, partsOfPath} from './load/model_parts.js';
import type {ModelConfig} from './model_config.js';
import {buildModel} from './registry.js';
import type {Tokenizer} from './tokenizer.js';
import {blobSource} from './weights/byte_source.js';
import {openGguf} from './weights/gguf.js';

/** A model with its weights, its tokenizer and what it is made of. */
export interface LoadedModel {
  /** From int32 ids `[batch, tokens]` to float32 logits `[batch, tokens, vocabSize]`. */
  readonly model: tf.LayersModel;
  readonly tokenizer: Tokenizer;
  readonly config: ModelConfig;
  /** What it calls itself: the hub id, the name in its GGUF file, its folder's or file's name, or "embedded". */
  readonly name: string;
  /** Where it is from, so that `loadModel(source)` gives it again: a path, a hub id, or a file's name in a browser. */
  readonly source: string;
  /** Frees the weights. A second call does nothing. */
  dispose(): void;
}

export interface LoadProgress {
  readonly stage: 'download' | 'weights';
  /** The file that is transferred or read. */
  readonly file: string;
  /** Bytes of that file. */
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends loading between two tensors, or a download at once, with the signal's reason; nothing stays in memory. */
  readonly signal?: AbortSignal;
}

/**
 * Loads a whole model: a .gguf file, a folder with config.json, tokenizer.json and model.safetensors (or its index and
 * shards), or a model on the Hugging Face hub (`owner/name`, `owner/name:file.gguf`), which is downloaded once into the
 * user's cache directory. A path that exists comes before a hub id that reads the same. In a browser, a GGUF `File`.
 *
 * Weights of whatever dtype become float32, read one tensor at a time. Where no backend of TensorFlow.js was chosen or
 * used yet, the default one (wasm) is started.
 *
 * @param pathOrHubId default: the small model that comes with the package.
 * @throws InvalidArgumentError where there is no such file, or one that a model needs is missing; ModelError where config,
 *   weights and tokenizer do not fit each other or the architecture is unknown; FormatError for damaged files;
 *   TransferError where network or disk fail.
 */
export async function loadModel(
  pathOrHubId?: string | Blob,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  options.signal?.throwIfAborted();
  if (currentBackend() === undefined) await useBackend(defaultBackend);
  const {parts, source} = await findParts(pathOrHubId, options);
  try {
    return await assemble(parts, source, options);
  } finally {
    await parts.weights.close();
  }
}

/** Undefined until a backend was chosen or a first tensor made, whatever the types of tfjs say. */
function currentBackend(): string | undefined {
  return tf.getBackend();
}

async function findParts(
  given: string | Blob | undefined,
  options: LoadModelOptions,
): Promise<{parts: ModelParts; source: string}> {
  if (given === undefined) return embeddedParts();
  if (typeof given !== 'string') {
    const file = blobSource(given);
    return {parts: await partsOfGguf(await openGguf(file), file.name), source: file.name};
  }
  const {stat} = await import('node:fs/promises');
  const {resolve} = await import('node:path');
  const isLocal = await stat(given).then(
    () => true,
    () => false,
  );
  if (isLocal) return {parts: await partsOfPath(resolve(given)), source: resolve(given)};
  // a mistyped path of a weight file also reads as owner/name; the hub need not be asked for those
  if (!isHubId(given) || /^[^:]*\.(gguf|safetensors|json)$/.test(given)) {
    throw new InvalidArgumentError(
      `There is no file or folder ${given}, and it is no hub id. Give a .gguf file, a folder with config.json, tokenizer.json ` +
        'and model.safetensors, or a hub id: owner/name, or owner/name:file.gguf.',
    );
  }
  return {parts: {...(await partsOfPath(await download(given, options))), name: given}, source: given};
}

function download(id: string, {onProgress, signal}: LoadModelOptions): Promise<string> {
  return fetchModel(id, {
    ...(signal && {signal}),
    onProgress: ({file, receivedBytes, totalBytes}) => {
      onProgress?.({stage: 'download', file, done: receivedBytes, total: totalBytes ?? receivedBytes});
    },
  });
}

async function assemble(
  {config, tokenizer, weights, name}: ModelParts,
  source: string,
  {onProgress, signal}: LoadModelOptions,
): Promise<LoadedModel> {
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new ModelError(
      `The tokenizer of ${source} has ${tokenizer.vocabSize} tokens, but its model knows ${config.vocabSize}: they are of ` +
        'different models.',
    );
  }
  const model = buildModel(config, {kernelInitializer: 'zeros'});
  try {
    await fillWeights(model, config, weights, {
      ...(signal && {signal}),
      onProgress: (done, total) => onProgress?.({stage: 'weights', file: name, done, total}),
    });
  } catch (error) {
    model.dispose();
    throw error;
  }
  let isDisposed = false;
  return {
    model,
    tokenizer,
    config,
    name,
    source,
    dispose() {
      if (!isDisposed) model.dispose();
      isDisposed = true;
    },
  };
}
