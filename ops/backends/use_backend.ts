import * as tf from '@tensorflow/tfjs';
import {BackendError, InvalidArgumentError, didYouMean} from '../errors.js';
import {runsInNode} from './optional_package.js';
import {importTensorflow} from './tensorflow.js';
import {importWasm} from './wasm.js';
import {wasmHeap} from './wasm_heap.js';
import {importWebgpu} from './webgpu.js';
import {webgpuIsLost} from './webgpu_device.js';

/** The backends of TensorFlow.js that eigenkv starts. */
export const backendNames = ['wasm', 'cpu', 'webgpu', 'webgl', 'tensorflow'] as const;

export type BackendName = (typeof backendNames)[number];

/** The backend to take where the user named none: the one with all fused kernels, which runs in Node and in browsers. */
export const defaultBackend: BackendName = 'wasm';

/**
 * Imports a backend's package, starts the backend and makes it the current one. Nothing is imported for `cpu` and `webgl`,
 * which are part of `@tensorflow/tfjs`. docs/BACKENDS.md says what each one needs and what runs fused on it. A webgpu backend
 * whose device was lost is replaced by a new one; the tensors of the old one are gone.
 *
 * @throws InvalidArgumentError for an unknown name; BackendError where the package is missing or the backend cannot start
 *   here. The backend that was current before then still is.
 */
export async function useBackend(name: BackendName): Promise<void> {
  const given: string = name;
  if (!backendNames.includes(name)) {
    throw new InvalidArgumentError(
      `backend = "${given}"; expected one of ${backendNames.join(', ')}.${didYouMean(given, backendNames)}`,
    );
  }
  if (tf.getBackend() === name && !(name === 'webgpu' && webgpuIsLost())) {
    await tf.ready();
    return;
  }
  const former: string | undefined = tf.getBackend();
  try {
    await importers[name]();
    await start(name);
  } catch (error) {
    await restore(former);
    throw error;
  }
}

const importers: {readonly [Name in BackendName]: () => Promise<void>} = {
  wasm: importWasm,
  cpu: () => Promise.resolve(),
  webgl: () => {
    if (!runsInNode()) return Promise.resolve();
    throw new BackendError("The 'webgl' backend needs a browser: use 'wasm' or 'tensorflow' in Node.");
  },
  webgpu: importWebgpu,
  tensorflow: importTensorflow,
};

async function start(name: BackendName): Promise<void> {
  if (!tf.engine().backendNames().includes(name)) {
    throw new BackendError(
      `TensorFlow.js has no '${name}' backend although its package was imported: most likely two copies of ` +
        '@tensorflow/tfjs-core are installed. `npm ls @tensorflow/tfjs-core` shows them; make their versions equal.',
    );
  }
  let failure: unknown;
  const started = await tf.setBackend(name).catch((error: unknown) => {
    failure = error;
    return false;
  });
  if (!started) {
    throw new BackendError(`The '${name}' backend did not start: use 'wasm', which runs everywhere.`, {
      cause: failure,
    });
  }
  await tf.ready();
  if (name === 'wasm') wasmHeap(); // guards its memory from the first tensor on
}

/** tfjs has named the new backend the current one before it knows whether it starts. */
async function restore(former: string | undefined): Promise<void> {
  if (former !== undefined && former !== '' && former !== tf.getBackend()) await tf.setBackend(former);
}
