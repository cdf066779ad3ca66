import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {BackendError, InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import {runsInNode} from '../../base/optional_package.js';
import {checkOptions} from '../../base/options.js';
import {type Threads, checkThreads, countOf, setThreads} from './heap_threads.js';
import {importTensorflow} from './tensorflow.js';
import {tensorflowEager} from './tensorflow_eager.js';
import {importWasm, startWasm} from './wasm.js';
import {type WasmPaths, checkWasmPaths} from './wasm_files.js';
import {wasmHeap} from './wasm_heap.js';
import {importWebgpu} from './webgpu.js';
import {webgpuIsLost} from './webgpu_device.js';
import {webgpuPrograms} from './webgpu_programs.js';
import {checkFeatures, noteMissingFeatures, type WebgpuFeature} from './webgpu_features.js';

/** The backends of TensorFlow.js that eigenkv starts. */
export const backendNames = ['wasm', 'cpu', 'webgpu', 'webgl', 'tensorflow'] as const;

export type BackendName = (typeof backendNames)[number];

/** The default backend: it has all fused kernels, and runs in Node and in browsers. */
export const defaultBackend: BackendName = 'wasm';

export interface BackendOptions {
  /**
   * Where a browser finds tfjs' three .wasm files: a folder's address (ending in `/`) or an object with the address of each, as
   * in tfjs' `setWasmPaths`. Default: where Vite and webpack put them; otherwise the package in a node_modules folder or on a
   * package host, beside the script, or beside the page. In Node: the package's own files. Ignored by other backends than wasm,
   * and if wasm runs already.
   */
  readonly wasmPaths?: WasmPaths;
  /**
   * How many threads run the kernels of the wasm backend, this one included: a number, or 'all' for one per core, at most 8. In Node they need
   * a memory that tfjs' backend has to start with, so ask for them before anything else starts it, and give no `wasmPaths`; pages have to be
   * cross-origin isolated. Where they cannot run there is one thread, and a note on the console says why. Default: as many as
   * there are, 1 at first. Can be changed at any time. Ignored by other backends.
   */
  readonly threads?: Threads;
  /**
   * Features of WebGPU for the device of the webgpu backend, which shaders of attention then use: 'subgroups' (maxima and sums of scores by
   * collective operations) and 'shader-f16' (keys and values are rounded to 16 bits where they are multiplied, half of the workgroup's
   * memory for an error of up to 5e-4 of each, and 3e-8 of small ones). Those that the adapter lacks are left out, and a note on the console says so; so are all if
   * the backend has started without. Default: none, as neither was timed on a GPU. Ignored by other backends.
   */
  readonly features?: readonly WebgpuFeature[];
}

/**
 * Imports a backend's package, starts the backend and makes it the current one. Nothing is imported for `cpu` and `webgl`,
 * which are part of `@tensorflow/tfjs`. docs/BACKENDS.md says what each one needs and what runs fused on it. A webgpu backend
 * whose device was lost is replaced by a new one; the tensors of the old one are gone.
 *
 * @throws InvalidArgumentError for an unknown name or option; BackendError if the package is missing, a file of it is not found
 *   (the message names the places), or the backend cannot start here. The current backend then stays current.
 */
export async function useBackend(name: BackendName, options: BackendOptions = {}): Promise<void> {
  expectName(name);
  const checked = checkedOptions(options);
  const started = underWay.then(() => startBackend(name, checked));
  underWay = started.catch(() => undefined);
  return started;
}

/** One start at a time: tfjs abandons a backend that is starting if another start begins, even of the same backend. */
let underWay: Promise<void> = Promise.resolve();

async function startBackend(
  name: BackendName,
  {wasmPaths, threads, features}: BackendOptions,
): Promise<void> {
  if (isRunning(name) && !(name === 'webgpu' && webgpuIsLost())) {
    await tf.ready();
    await settle(name, threads, features);
    return;
  }
  const former: string | undefined = tf.getBackend();
  let takeBack = () => {};
  try {
    let fault: BackendError | undefined;
    if (name === 'wasm') fault = await importWasm(wasmPaths, countOf(threads ?? 1) > 1);
    else if (name === 'webgpu') takeBack = await importWebgpu(features);
    else await importers[name]();
    await start(name, fault);
    await settle(name, threads, features);
  } catch (error) {
    takeBack();
    await restore(former);
    throw error;
  }
}

function expectName(given: unknown): void {
  if (backendNames.some(name => name === given)) return;
  const hint = typeof given === 'string' ? didYouMean(given, backendNames) : '';
  throw new InvalidArgumentError(
    `backend = ${shown(given)}; expected one of ${backendNames.join(', ')}.${hint}`,
  );
}

/** What is asked of a backend that runs. */
async function settle(name: BackendName, threads?: Threads, features?: readonly WebgpuFeature[]) {
  if (name === 'wasm' && threads !== undefined) await setThreads(threads);
  if (name === 'webgpu' && features !== undefined) await noteMissingFeatures(features);
}

/** tfjs makes a backend the current one even if its start fails. */
function isRunning(name: BackendName): boolean {
  return tf.getBackend() === name && name in tf.engine().registry;
}

const optionsSchema = v.strictObject({
  wasmPaths: v.optional(v.custom<WasmPaths>(() => true)),
  threads: v.optional(v.custom<Threads>(() => true)),
  features: v.optional(v.custom<readonly WebgpuFeature[]>(() => true)),
});

function checkedOptions(options: BackendOptions): BackendOptions {
  const {wasmPaths, threads, features} = checkOptions('useBackend', optionsSchema, options);
  return {
    ...(wasmPaths === undefined ? {} : {wasmPaths: checkWasmPaths(wasmPaths)}),
    ...(threads === undefined ? {} : {threads: checkThreads(threads)}),
    ...(features === undefined ? {} : {features: checkFeatures(features)}),
  };
}

const importers: {readonly [Name in Exclude<BackendName, 'wasm' | 'webgpu'>]: () => Promise<void>} = {
  cpu: () => Promise.resolve(),
  webgl: () => {
    if (!runsInNode()) return Promise.resolve();
    throw new BackendError("The 'webgl' backend needs a browser: use 'wasm' or 'tensorflow' in Node.");
  },
  tensorflow: importTensorflow,
};

/** @param fault what is thrown if the start fails; the start is tried all the same. */
async function start(name: BackendName, fault: BackendError | undefined): Promise<void> {
  if (!tf.engine().backendNames().includes(name)) {
    throw new BackendError(
      `TensorFlow.js has no '${name}' backend although its package was imported: it was removed (tf.removeBackend), or two copies of ` +
        '@tensorflow/tfjs-core are installed. `npm ls @tensorflow/tfjs-core` shows them; make their versions equal.',
    );
  }
  let failure: unknown;
  const started = await (name === 'wasm' ? startWasm() : tf.setBackend(name)).catch((error: unknown) => {
    failure = error;
    return false;
  });
  if (!started) throw fault ?? new BackendError(whyNotStarted(name), {cause: failure});
  await tf.ready();
  if (name === 'wasm') wasmHeap(); // guards its memory from the first tensor on
  if (name === 'webgpu') webgpuPrograms(); // notices a lost device from now on
  if (name === 'tensorflow') tensorflowEager(); // sees to it that tensors of other backends keep their shapes
}

function whyNotStarted(name: BackendName): string {
  if (name !== 'wasm') return `The '${name}' backend did not start: use 'wasm', which runs everywhere.`;
  return (
    "The 'wasm' backend did not start; the console has tfjs' reason. A page's Content-Security-Policy has to allow " +
    "'wasm-unsafe-eval' in script-src, and blob: in worker-src if the page is cross-origin isolated. Or use 'webgl' or 'cpu'."
  );
}

/** tfjs makes the new backend the current one before it knows whether it starts. */
async function restore(former: string | undefined): Promise<void> {
  if (former !== undefined && former !== '' && former !== tf.getBackend()) await tf.setBackend(former);
}
