import * as tf from '@tensorflow/tfjs';
import {disposeProfile} from '../cache/codecs/transform_profile/tensors.js';
import {setProfileOfModel, takeProfilesOfModel} from '../cache/codecs/transform_profile/of_model.js';
import {FormatError, TransferError} from '../base/errors.js';
import {disposeSymbol} from '../base/dispose_symbol.js';
import {checkOptions} from '../base/options.js';
import {defaultBackend, useBackend} from '../ops/backends/use_backend.js';
import {warnOnConsole} from '../base/warn.js';
import {disposingNewVariables} from '../ops/backends/dispose_new_variables.js';
import {hasInt8Products} from '../ops/linear/index.js';
import {requireExactIntegers} from '../ops/exact_integers.js';
import {profileFor} from './compress/transform/packaged_profiles.js';
import {checkedWeights} from './formats/check_weights.js';
import {fillWeights} from './formats/fill_weights.js';
import {type LoadModelOptions, findParts, loadSchema} from './formats/find_parts.js';
import type {WeightFormat} from '../ops/weights/formats.js';
import type {TensorFile} from '../base/files/tensor_file.js';
import {byteSize} from '../base/units.js';
import type {StoredWeight} from './architectures/parts/architecture.js';
import {checkMemory, modelBytes} from './formats/memory.js';
import type {ModelParts} from './formats/model_parts.js';
import {currentBackendPacks, defaultSetting, weightFormatsOf} from './formats/weight_formats.js';
import {buildModel} from './architectures/index.js';
import type {LoadedModel} from './loaded_model.js';

/**
 * Loads a model with its tokenizer, its chat template and its sampling defaults:
 *
 * - a .gguf file (Node: its path or address; browser: a `File`, or its address). Any part of a split file
 *   (`model-00001-of-00003.gguf`) loads the whole model; the other parts are beside it. In a browser, give a list of all Files.
 * - a folder with config.json, tokenizer.json and model.safetensors (or its index and shards).
 * - a model on the Hugging Face hub (`owner/name`, `owner/name:file.gguf`, `owner/name:Q4_K_M` for the GGUF file of a quantisation, or
 *   the address of any of these), downloaded once into the user's cache directory. If a path of the same name exists, it comes first.
 * - `'embedded'`, the bundled model, if there is no file or folder of that name.
 *
 *     using model = await loadModel('SmolLM2-135M-Instruct.Q4_1.gguf'); // frees the weights at the end of the block
 *     for await (const text of generate(model, 'Once upon a time')) process.stdout.write(text);
 *
 * Quantised GGUF files stay as they are in memory; other weights become float32: see `LoadModelOptions.weights`. They are read a few MB at
 * a time, into the place where they stay. If no backend of TensorFlow.js was chosen or used yet, the default one
 * (wasm) is started. If the files contradict each other, `onWarning` gets what was assumed or left out.
 *
 * @param pathOrHubId default: the bundled model, whatever there is on the disk. In a browser: the address of a .gguf file, absolute or
 *   relative to the page.
 * @throws InvalidArgumentError if an option is not allowed, there is no such file, or a file or part that the model needs is missing;
 *   ModelError if config, weights and tokenizer do not fit each other, the architecture is unknown, or the model is too large for the
 *   backend; FormatError if a file is damaged; BackendError if there is no memory; TransferError if network or disk fail.
 */
export async function loadModel(
  pathOrHubId?: string | Blob | readonly Blob[],
  given: LoadModelOptions = {},
): Promise<LoadedModel> {
  const options = checkOptions('loadModel', loadSchema, given);
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

function unpackedProducts(): string {
  return (
    `The ${tf.getBackend()} backend has no kernels for packed weights: every product unpacks its matrix first, which is slow. Use the ` +
    "wasm or webgpu backend, or {weights: 'float32'}."
  );
}

/** Gives a model the profile that comes with the package for it, if there is one: caches may then be stored in the metric of its loss. */
async function usePackagedProfile(
  model: tf.LayersModel,
  onWarning: (message: string) => void,
): Promise<void> {
  try {
    const profile = await profileFor(model);
    if (profile !== undefined) setProfileOfModel(model, profile);
  } catch (error) {
    // attention that is compressed already, or not known, has none
    if (error instanceof TransferError || error instanceof FormatError) onWarning(error.message);
  }
}

/** On a backend without kernels for packed weights, weights of few bits become float32. */
function warnOfFloats(
  stored: readonly StoredWeight[],
  file: Pick<TensorFile, 'tensors'>,
  onWarning: (message: string) => void,
): void {
  const [floats, packed] = [false, true].map(packs => modelBytes(stored, file, 'asStored', packs)) as [
    number,
    number,
  ];
  if (floats === packed) return;
  onWarning(
    `The ${tf.getBackend()} backend has no kernels for packed weights, so they become float32: ${byteSize(floats)} in place of ` +
      `${byteSize(packed)}. {weights: 'packed8'} keeps them small and is slow; the wasm and webgpu backends read them as they are.`,
  );
}

function warnOfInt8(formats: readonly WeightFormat[], onWarning: (message: string) => void): void {
  const isEngine = hasInt8Products();
  if (isEngine && formats.includes('packed4')) return;
  const reason =
    isEngine || !formats.includes('packed4')
      ? 'only products with 4-bit weights round their inputs to 8 bits, and this model has none in memory'
      : '8 bits need the wasm backend and an engine with relaxed SIMD (Node 22 or Chrome 114, or later)';
  onWarning(`{activations: 'int8'} changes nothing here: ${reason}.`);
}

async function assemble(
  {weights: file, ...parts}: ModelParts,
  source: string,
  {
    weights: setting = defaultSetting(file),
    onWarning = warnOnConsole,
    activations,
    onProgress,
    signal,
  }: LoadModelOptions,
): Promise<LoadedModel> {
  const {config, name} = parts;
  const stored = checkedWeights(file, config, onWarning);
  const packs = currentBackendPacks();
  checkMemory(stored, file, setting, packs);
  const formats = weightFormatsOf(stored, file, setting, packs);
  if ([...formats.values()].some(format => format !== 'float32')) {
    requireExactIntegers('Packed weights', "{weights: 'float32'}");
    if (!packs) onWarning(unpackedProducts());
  }
  if (setting === 'asStored' && !packs) warnOfFloats(stored, file, onWarning);
  if (activations === 'int8') warnOfInt8([...formats.values()], onWarning);
  const formatOf = (variable: string) => formats.get(variable) ?? 'float32';
  const model = disposingNewVariables(() =>
    buildModel(config, {kernelInitializer: 'zeros', formatOf, activations}),
  );
  try {
    await fillWeights(model, stored, file, {
      signal,
      onProgress: progress => onProgress?.({stage: 'weights', file: name, ...progress}),
    });
  } catch (error) {
    model.dispose();
    throw error;
  }
  await usePackagedProfile(model, onWarning);
  let isDisposed = false;
  const dispose = () => {
    if (isDisposed) return;
    isDisposed = true;
    model.dispose();
    takeProfilesOfModel(model).forEach(disposeProfile);
  };
  const {contextLength} = config;
  return {...parts, model, source, contextLength, weights: setting, dispose, [disposeSymbol]: dispose};
}
