import * as tf from '@tensorflow/tfjs';
import {defaultBackend, useBackend} from '../ops/backends/use_backend.js';
import {checkedWeights} from './formats/check_weights.js';
import {fillWeights} from './formats/fill_weights.js';
import {type LoadModelOptions, findParts} from './formats/find_parts.js';
import type {ModelParts} from './formats/model_parts.js';
import type {ModelConfig} from './architectures/parts/model_config.js';
import {buildModel} from './architectures/index.js';
import type {Tokenizer} from './tokenizer/index.js';

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

/**
 * Loads a whole model: a .gguf file, a folder with config.json, tokenizer.json and model.safetensors (or its index and
 * shards), or a model on the Hugging Face hub (`owner/name`, `owner/name:file.gguf`), which is downloaded once into the
 * user's cache directory. A path that exists comes before a hub id that reads the same. In a browser, a GGUF `File`.
 *
 * Of a split GGUF file (`model-00001-of-00003.gguf`) any part stands for all, which lie beside it or on the hub; in a browser, a
 * list of all of them. What the files contradict each other in, and what then was assumed or left out, goes to `onWarning`.
 *
 * Weights of whatever dtype become float32, read one tensor at a time. Where no backend of TensorFlow.js was chosen or
 * used yet, the default one (wasm) is started.
 *
 * @param pathOrHubId default: the small model that comes with the package.
 * @throws InvalidArgumentError where there is no such file, or one that a model needs or a part of it is missing; ModelError where config,
 *   weights and tokenizer do not fit each other or the architecture is unknown; FormatError for damaged files;
 *   TransferError where network or disk fail.
 */
export async function loadModel(
  pathOrHubId?: string | Blob | readonly Blob[],
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

async function assemble(
  {config, tokenizer, weights, name}: ModelParts,
  source: string,
  {onProgress, onWarning, signal}: LoadModelOptions,
): Promise<LoadedModel> {
  const stored = checkedWeights(weights, config, onWarning);
  const model = buildModel(config, {kernelInitializer: 'zeros'});
  try {
    await fillWeights(model, stored, weights, {
      signal,
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
