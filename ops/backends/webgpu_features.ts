import * as tf from '@tensorflow/tfjs';
import {BackendError, InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import {once, warnOnConsole} from '../../base/warn.js';
import {asTfjsWebgpuBackend, registerFactory} from './webgpu_device.js';

// Features of WebGPU that shaders of eigenkv use where `useBackend` was asked for them. tfjs makes its device without.

/** What a device can be asked for: collective operations of a subgroup's invocations, and numbers of 16 bits. */
export const webgpuFeatures = ['subgroups', 'shader-f16'] as const;

export type WebgpuFeature = (typeof webgpuFeatures)[number];

/** What was asked for each device that `startWithFeatures` let start. */
const asked = new WeakMap<GPUDevice, readonly WebgpuFeature[]>();

/** Which of them a device was made with because they were asked for: one that somebody else made with 16 bits rounds nothing. */
export const featuresOf = (device: GPUDevice): readonly WebgpuFeature[] => asked.get(device) ?? [];

/**
 * Returns them, each once.
 * @throws InvalidArgumentError if it is no array of names of features.
 */
export function checkFeatures(features: readonly WebgpuFeature[]): readonly WebgpuFeature[] {
  const given: unknown = features;
  if (!Array.isArray(given)) {
    throw new InvalidArgumentError(
      `features = ${shown(given)}; expected an array of ${webgpuFeatures.join(', ')}.`,
    );
  }
  for (const name of given as unknown[]) {
    if (webgpuFeatures.some(known => known === name)) continue;
    const hint = typeof name === 'string' ? didYouMean(name, webgpuFeatures) : '';
    throw new InvalidArgumentError(
      `features has ${shown(name)}; expected ${webgpuFeatures.join(', ')}.${hint}`,
    );
  }
  return [...new Set(features)];
}

/**
 * Lets tfjs' webgpu backend, which has not started yet, start with those of these features that the adapter has. tfjs is left to choose
 * adapter, limits and its own features: only what it asks the adapter for is completed, while it starts.
 *
 * @returns what takes it back.
 * @throws BackendError if `navigator.gpu` does not let its method be replaced meanwhile.
 */
export function startWithFeatures(features: readonly WebgpuFeature[]): () => void {
  const former = tf.findBackendFactory('webgpu');
  const ofTfjs = factoriesOfTfjs.get(former) ?? former;
  if (features.length === 0) {
    if (ofTfjs !== former) registerFactory(ofTfjs);
    return () => registerFactory(former);
  }
  const own = Object.getOwnPropertyDescriptor(navigator.gpu, 'requestAdapter');
  if (own === undefined ? !Object.isExtensible(navigator.gpu) : own.configurable !== true) {
    throw new BackendError(
      "navigator.gpu is frozen, so a device cannot be asked for features: call useBackend('webgpu') without them.",
    );
  }
  const factory = async () => {
    const end = completeRequests(navigator.gpu, features);
    try {
      return await ofTfjs();
    } finally {
      end();
    }
  };
  factoriesOfTfjs.set(factory, ofTfjs);
  registerFactory(factory);
  return () => registerFactory(former);
}

/** tfjs' factory within each of ours. */
const factoriesOfTfjs = new WeakMap<object, ReturnType<typeof tf.findBackendFactory>>();

/** Until the function is called that is returned, adapters of `gpu` add features to devices that are asked of them. */
function completeRequests(gpu: GPU, features: readonly WebgpuFeature[]): () => void {
  const own = Object.getOwnPropertyDescriptor(gpu, 'requestAdapter');
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  let isOver = false; // whoever wraps this function meanwhile still has it afterwards
  const completed = async (options?: GPURequestAdapterOptions) => {
    const adapter = await requestAdapter(options);
    return adapter === null || isOver ? adapter : withFeatures(adapter, features);
  };
  Object.defineProperty(gpu, 'requestAdapter', {value: completed, configurable: true, writable: true});
  return () => {
    isOver = true;
    if (gpu.requestAdapter !== completed) return;
    if (own === undefined) Reflect.deleteProperty(gpu, 'requestAdapter');
    else Object.defineProperty(gpu, 'requestAdapter', own);
  };
}

/** The adapter, which itself stays as it is, but for what devices are asked for. */
function withFeatures(adapter: GPUAdapter, features: readonly WebgpuFeature[]): GPUAdapter {
  const present = features.filter(name => adapter.features.has(name));
  const requestDevice = async (descriptor?: GPUDeviceDescriptor) => {
    const names = present as readonly string[] as readonly GPUFeatureName[]; // older types lack subgroups
    const requiredFeatures = [...(descriptor?.requiredFeatures ?? []), ...names];
    const device = await adapter.requestDevice({...descriptor, requiredFeatures});
    asked.set(device, present);
    return device;
  };
  return new Proxy(adapter, {
    get(real, name) {
      if (name === 'requestDevice') return requestDevice;
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? (value.bind(real) as unknown) : value;
    },
  });
}

const note = once(warnOnConsole);

/** Says, once, which of these features the current backend, webgpu, started without, and why. */
export async function noteMissingFeatures(features: readonly WebgpuFeature[]): Promise<void> {
  const device = asTfjsWebgpuBackend(tf.backend())?.device;
  if (device === undefined) return; // which has its own warning
  const missing = features.filter(name => !featuresOf(device).includes(name));
  if (missing.length === 0) return;
  const adapter = await navigator.gpu.requestAdapter();
  for (const name of missing) {
    note(
      adapter?.features.has(name)
        ? `no ${name}, since tfjs' webgpu backend started without: call useBackend('webgpu', {features}) before anything else starts it.`
        : `no ${name}, which this GPU's adapter does not have.`,
    );
  }
}

/**
 * WGSL has its directives (`enable subgroups;`) before all else, and tfjs puts declarations before a program's text: from now on the
 * device moves them to the front.
 */
export function allowDirectives(device: GPUDevice): void {
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = descriptor => {
    const directives = descriptor.code.match(directive);
    if (directives === null) return create(descriptor);
    return create({...descriptor, code: [...directives, descriptor.code.replace(directive, '')].join('\n')});
  };
}

const directive = /^\s*enable \w+;$/gm;
