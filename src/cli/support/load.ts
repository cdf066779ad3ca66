import * as tf from '@tensorflow/tfjs';
import {loadTransformProfile, useProfile} from '../../../models/compress/index.js';
import {embeddedName} from '../../../models/embedded_model.js';
import {findParts} from '../../../models/formats/find_parts.js';
import type {ModelParts} from '../../../models/formats/model_parts.js';
import {loadModel} from '../../../models/load.js';
import {type WeightSetting, weightSettings} from '../../../models/formats/weight_formats.js';
import {type Activations, activationsAllowed} from '../../../ops/linear/reference.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import type {Threads} from '../../../ops/backends/heap_threads.js';
import {
  type BackendName,
  backendNames,
  defaultBackend,
  useBackend,
} from '../../../ops/backends/use_backend.js';
import {type Argument, choice, text, withDefault} from './arguments.js';
import {progressBar, withBar} from './progress.js';
import {UsageError} from './usage_error.js';

/** The option for `useBackend`'s threads. */
const threadsArg: Argument<Threads | undefined> = {
  ...text('Threads of wasm: a number from 1 to 64, or all: one per core, at most 8', 'N'),
  read(values, name) {
    const value = values.at(-1);
    if (value === undefined || value === 'all') return value;
    if (/^[1-9]\d?$/.test(value) && Number(value) <= 64) return Number(value);
    throw new UsageError(`${name} = "${value}"; expected a whole number from 1 to 64, or all.`);
  },
};

/** Options of every command that runs a model. */
export const modelArgs = {
  model: text(
    `A .gguf or .safetensors file, a folder, or a hub id. Default: ${embeddedName}, the small model that comes with eigenkv`,
    'MODEL',
  ),
  backend: withDefault(text(`Backend of TensorFlow.js: ${backendNames.join(', ')}`, 'NAME'), defaultBackend),
  threads: withDefault(threadsArg, 'all'),
  weights: choice(
    'How the matrices of --model are stored in memory (default: asStored for GGUF and packed folders, float32 for other safetensors)',
    weightSettings,
  ),
  activations: choice(
    'What inputs of products with 4-bit weights are rounded to (default: int16); int8 is faster where the engine has relaxed SIMD',
    activationsAllowed,
  ),
};

/** The option of commands that run plans. */
export const profileArg = text(
  'The profile for plans of the transform codec, as "eigenkv calibrate --profile" writes it. Default: the one that comes with the model, if any',
  'FILE',
);

/** Their values. */
export interface ModelArgs {
  readonly model?: string;
  readonly backend: string;
  readonly threads: Threads;
  readonly weights?: WeightSetting;
  readonly activations?: Activations;
  readonly profile?: string | undefined;
}

export async function startBackend({
  backend,
  threads,
}: Pick<ModelArgs, 'backend' | 'threads'>): Promise<void> {
  tf.enableProdMode(); // suppresses tfjs' advice to install other backends
  await useBackend(backend as BackendName, {threads});
}

/** Starts the backend and loads the model, with a progress bar if it takes long. */
export async function loadForCommand(
  {model, weights, activations, profile: path, ...where}: ModelArgs,
  signal: AbortSignal,
): Promise<LoadedModel> {
  const profile = path === undefined ? undefined : await loadTransformProfile(path); // before the model, so that a wrong path fails at once
  await startBackend(where);
  const bars = {download: progressBar('Downloading'), weights: progressBar('Loading weights')};
  try {
    const loaded = await loadModel(model, {
      weights,
      activations,
      signal,
      onProgress: ({stage, done, total}) => bars[stage].update(done, total),
    });
    if (profile === undefined) return loaded;
    await useProfile(loaded, profile).catch((error: unknown) => {
      loaded.dispose();
      throw error;
    });
    return loaded;
  } finally {
    for (const bar of Object.values(bars)) bar.stop();
  }
}

/** Opens a model without loading its weights; a download shows its progress. The caller closes `weights`. */
export async function openParts(
  model: string | undefined,
  signal: AbortSignal,
): Promise<ModelParts & {source: string}> {
  const {parts, source} = await withBar('Downloading', onProgress => findParts(model, {signal, onProgress}));
  return {...parts, source};
}
