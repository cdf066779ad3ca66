import * as tf from '@tensorflow/tfjs';
import type {ArgsDef} from 'citty';
import {type LoadedModel, loadModel} from '../../../models/index.js';
import {
  type BackendName,
  backendNames,
  defaultBackend,
  useBackend,
} from '../../../ops/backends/use_backend.js';
import {embeddedName, pathOrHubId} from './model_name.js';
import {progressBar} from './progress.js';

/** Options of every command that computes. */
export const modelArgs = {
  model: {
    type: 'string',
    description: `A .gguf or .safetensors file, a folder, or a hub id. Default: ${embeddedName}, which comes along`,
    valueHint: 'MODEL',
  },
  backend: {
    type: 'string',
    description: `Backend of TensorFlow.js: ${backendNames.join(', ')}`,
    default: defaultBackend,
    valueHint: 'NAME',
  },
} as const satisfies ArgsDef;

export async function startBackend(name: string): Promise<void> {
  tf.enableProdMode(); // no advice to install other backends
  await useBackend(name as BackendName);
}

/** Starts the backend and loads the model, with a progress bar where that takes long. */
export async function loadForCommand(
  {model, backend}: {readonly model?: string | undefined; readonly backend: string},
  signal: AbortSignal,
): Promise<LoadedModel> {
  await startBackend(backend);
  const bars = {download: progressBar('Downloading'), weights: progressBar('Loading weights')};
  try {
    return await loadModel(pathOrHubId(model), {
      signal,
      onProgress: ({stage, done, total}) => bars[stage].update(done, total),
    });
  } finally {
    for (const bar of Object.values(bars)) bar.stop();
  }
}
