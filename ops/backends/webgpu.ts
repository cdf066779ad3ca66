import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';
import {importOptional, runsInNode} from '../../base/optional_package.js';
import {forgetLostDevice, webgpuIsLost} from './webgpu_device.js';
import {startWithFeatures, type WebgpuFeature} from './webgpu_features.js';

/**
 * Imports tfjs-backend-webgpu. In Node it first gives the process a `navigator.gpu`: Dawn, from npm's `webgpu`.
 *
 * @param features with which it shall start, if it has not started; nothing: as it was asked for last, by default with none.
 * @returns what takes it back that it shall start with these features.
 * @throws BackendError if a package is missing or there is no adapter (no GPU, no driver, or not allowed).
 */
export async function importWebgpu(features?: readonly WebgpuFeature[]): Promise<() => void> {
  if (webgpuIsLost()) forgetLostDevice();
  if (runsInNode() && navigatorGpu() === undefined) await installDawn();
  await requireAdapter();
  if (!isRegistered()) await importPackage();
  if (features === undefined || 'webgpu' in tf.engine().registry) return () => undefined;
  return startWithFeatures(features);
}

/** In bundles it is imported already, and cannot be imported by its name. */
async function importPackage(): Promise<void> {
  // registers itself only if navigator.gpu is there: imported last
  if ((await importOptional('@tensorflow/tfjs-backend-webgpu')) === undefined) {
    throw new BackendError(
      "The 'webgpu' backend needs a package: npm install @tensorflow/tfjs-backend-webgpu@4.22; in code that is bundled for " +
        "browsers, import '@tensorflow/tfjs-backend-webgpu' as well. Or use 'wasm'.",
    );
  }
  if (!isRegistered()) {
    throw new BackendError(
      '@tensorflow/tfjs-backend-webgpu was imported before navigator.gpu existed and registered nothing, or tf.removeBackend removed ' +
        "what it did: let useBackend('webgpu') import it, or set navigator.gpu first.",
    );
  }
}

const isRegistered = () => tf.engine().backendNames().includes('webgpu');

/** The exports of npm's `webgpu` package; it is not a dependency, so its own types are not available. */
interface Dawn {
  create(options: string[]): GPU;
  readonly globals: Record<string, unknown>;
}

async function installDawn(): Promise<void> {
  const dawn = (await importOptional('webgpu')) as Dawn | undefined;
  if (dawn === undefined) {
    throw new BackendError(
      "The 'webgpu' backend needs Dawn in Node: npm install webgpu (docs/backends/webgpu.md). Or use 'wasm'.",
    );
  }
  Object.assign(globalThis, dawn.globals); // GPUBufferUsage, GPUMapMode, ...: tfjs reads them as globals
  if (!('navigator' in globalThis)) {
    Object.defineProperty(globalThis, 'navigator', {value: {}, configurable: true, writable: true});
  }
  Object.defineProperty(globalThis.navigator, 'gpu', {value: dawn.create([]), configurable: true});
}

/** Checked here because tfjs' factory reads the features of a missing adapter and fails with a TypeError. */
async function requireAdapter(): Promise<void> {
  const gpu = navigatorGpu();
  if (gpu === undefined) {
    throw new BackendError("This browser has no WebGPU (navigator.gpu): use 'webgl' or 'wasm'.");
  }
  if ((await gpu.requestAdapter()) === null) {
    throw new BackendError(
      'WebGPU finds no adapter: install a GPU driver (in Node, a Vulkan driver; docs/backends/webgpu.md has software ' +
        "ones for tests), or use 'wasm'.",
    );
  }
}

/** `navigator` is missing in Node 20, and `gpu` in many browsers, whatever the types say. */
function navigatorGpu(): GPU | undefined {
  const {navigator} = globalThis as {navigator?: {gpu?: GPU}};
  return navigator?.gpu;
}
