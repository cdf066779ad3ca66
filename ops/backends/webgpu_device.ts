import * as tf from '@tensorflow/tfjs';
import {BackendError, InvalidArgumentError} from '../../base/errors.js';

// tfjs-backend-webgpu's internals, and the failures of its device: tfjs leaves them to the driver, which at most logs them.

/** A program as tfjs 4.22 takes it: a plain object. tfjs adds dtypes, ranks and workgroup size to `shaderKey`. */
export interface TfjsProgram {
  readonly shaderKey: string;
  readonly variableNames: string[];
  /** For each input, how many numbers an element of its array in the shader has. */
  readonly variableComponents: readonly (1 | 4)[];
  /** The shape of the work, not of the output. */
  readonly outputShape: number[];
  readonly workgroupSize: [number, number, number];
  readonly dispatchLayout: {readonly x: number[]; readonly y?: number[]; readonly z?: number[]};
  readonly dispatch: number[];
  /** Declares `uniforms.size`, the number of elements of outputShape. */
  readonly size: true;
  readonly uniforms: string;
  getUserCode(): string;
}

/** The parts of tfjs' webgpu backend (4.22) that we use. */
export interface TfjsWebgpuBackend {
  readonly device: GPUDevice;
  readonly tensorMap: {
    get(id: object): TfjsTensorData | undefined;
    set(id: object, data: TfjsTensorData): void;
    delete(id: object): boolean;
  };
  /** @param values on the host; tfjs makes its scalars so. */
  makeTensorInfo(shape: readonly number[], dtype: string, values?: unknown): tf.TensorInfo;
  /** What records commands; null if there are none. */
  readonly commandEncoder: unknown;
  /** Submits all recorded commands; a pass must not be open. */
  submitQueue(): void;
  endComputePassEncoder(): void;
  makeUniforms(uniforms: readonly Uniform[]): {readonly buffer: GPUBuffer};
  /** Buffers that `submitQueue` gives back. */
  readonly uniformPendingDisposal: GPUBuffer[];
  uploadToGPU(id: object): void;
  disposeData(id: object): void;
  read(id: object): Promise<unknown>;
  runWebGPUProgram(
    program: TfjsProgram,
    inputs: tf.TensorInfo[],
    dtype: string,
    uniforms?: {type: 'int32' | 'float32'; data: number[]}[],
    output?: tf.TensorInfo,
  ): tf.TensorInfo;
}

export interface Uniform {
  readonly type: string;
  readonly data: readonly number[];
}

/** Where a tensor's numbers are. tfjs binds a `resource` that is no buffer and no texture as it is. */
interface TfjsTensorData {
  /** The copy on the CPU. */
  values: unknown;
  resource?: unknown;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly refCount?: number;
}

/** The backend; undefined (with one warning) if its internals are not the known ones. */
export function asTfjsWebgpuBackend(backend: object): TfjsWebgpuBackend | undefined {
  if (isTfjsWebgpuBackend(backend)) return backend;
  if (!unknownBackends.has(backend)) {
    unknownBackends.add(backend);
    console.warn(
      'eigenkv: this version of tfjs-backend-webgpu hides how it runs programs; shaders are off and plain ops run instead ' +
        '(several times slower). Known to work: @tensorflow/tfjs-backend-webgpu 4.22.',
    );
  }
  return undefined;
}

const unknownBackends = new WeakSet<object>();

function isTfjsWebgpuBackend(backend: object): backend is TfjsWebgpuBackend {
  const candidate = backend as Partial<TfjsWebgpuBackend>;
  return (
    typeof candidate.runWebGPUProgram === 'function' &&
    typeof candidate.tensorMap?.get === 'function' &&
    typeof candidate.makeTensorInfo === 'function' &&
    typeof candidate.submitQueue === 'function' &&
    typeof candidate.endComputePassEncoder === 'function' &&
    typeof candidate.makeUniforms === 'function' &&
    Array.isArray(candidate.uniformPendingDisposal) &&
    typeof candidate.uploadToGPU === 'function' &&
    typeof candidate.disposeData === 'function' &&
    typeof candidate.read === 'function' &&
    typeof candidate.device?.lost.then === 'function'
  );
}

/** Why the device of a backend was lost. */
const losses = new WeakMap<object, string>();

/** The driver's message after it ran out of memory, until it is thrown. */
const shortages = new WeakMap<object, string>();

/**
 * From now on every program of this backend, tfjs' own included, and every reading of a tensor throws if the device is lost
 * (BackendError) or a tensor is larger than what can be bound (InvalidArgumentError). After the device ran out of memory, the
 * next one throws (BackendError): drivers report that some time after the program that caused it.
 */
export function guardDevice(backend: TfjsWebgpuBackend): void {
  const loss = backend.device.lost.then(({reason, message}) => {
    losses.set(backend, `${reason}: ${message}`);
  });
  backend.device.addEventListener('uncapturederror', ({error}) => {
    if (error instanceof GPUOutOfMemoryError) shortages.set(backend, error.message.split('\n', 1)[0]!);
  });
  const run = backend.runWebGPUProgram.bind(backend);
  const read = backend.read.bind(backend);
  backend.runWebGPUProgram = (program, inputs, dtype, uniforms, output) => {
    checkNotLost(backend);
    checkNotShort(backend);
    for (const {shape} of output === undefined ? inputs : [...inputs, output]) checkBinding(backend, shape);
    return run(program, inputs, dtype, uniforms, output);
  };
  backend.read = async id => {
    checkNotLost(backend);
    const numbers = await read(id).catch(async (error: unknown) => {
      // if this fails because the device is being lost, that is known a moment later, and on a busy machine much later
      await Promise.race([loss, new Promise(resolve => setTimeout(resolve, 2000))]);
      checkNotLost(backend, error);
      throw error;
    });
    checkNotShort(backend); // all errors of earlier programs have been reported by now
    return numbers;
  };
}

/** Whether the webgpu backend was started and its device is gone. */
export function webgpuIsLost(): boolean {
  if (!tf.engine().backendNames().includes('webgpu')) return false;
  const backend = tf.engine().registry['webgpu'];
  return backend !== undefined && losses.has(backend);
}

/** Makes tfjs forget the backend whose device was lost, so that it starts a new one the next time. */
export function forgetLostDevice(): void {
  registerFactory(tf.findBackendFactory('webgpu'));
}

/** Lets tfjs make its webgpu backend by this factory, with the priority that it has. One that was made is forgotten. */
export function registerFactory(factory: ReturnType<typeof tf.findBackendFactory>): void {
  const {priority} = tf.engine().registryFactory['webgpu']!;
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', factory, priority);
}

function checkNotLost(backend: TfjsWebgpuBackend, cause?: unknown): void {
  const loss = losses.get(backend);
  if (loss === undefined) return;
  throw new BackendError(
    `The GPU device was lost (${loss}) and its tensors with it: call useBackend('webgpu') for a new one, or ` +
      "useBackend('wasm'); then load the model again and restore the cache from its snapshot.",
    {cause},
  );
}

function checkNotShort(backend: TfjsWebgpuBackend): void {
  const shortage = shortages.get(backend);
  if (shortage === undefined) return;
  shortages.delete(backend);
  throw new BackendError(
    `The GPU ran out of memory (${shortage}), and what was computed meanwhile is not valid: dispose of the cache and of tensors ` +
      'that are not needed, then restore the cache from its snapshot; keep fewer tokens or store them in a smaller codec.',
  );
}

/** @throws InvalidArgumentError if a tensor of this shape is larger than what can be bound. */
export function checkBinding({device}: TfjsWebgpuBackend, shape: readonly number[]): void {
  const [bytes, most] = [4 * sizeOf(shape), device.limits.maxStorageBufferBindingSize];
  if (bytes <= most) return;
  throw new InvalidArgumentError(
    `A tensor of shape [${shape.join(', ')}] takes ${mebibytes(bytes)}, and this GPU's driver binds at most ${mebibytes(most)} at ` +
      'once: split it by heads or tokens, keep fewer tokens, or store them in a smaller codec; load weights in fewer bits ' +
      "(weights: 'packed8' or 'packed4').",
  );
}

/** @throws InvalidArgumentError if a tensor of this shape is larger than a buffer can be. */
export function checkBuffer({device}: TfjsWebgpuBackend, shape: readonly number[]): void {
  const [bytes, most] = [4 * sizeOf(shape), device.limits.maxBufferSize];
  if (bytes <= most) return;
  throw new InvalidArgumentError(
    `A tensor of shape [${shape.join(', ')}] takes ${mebibytes(bytes)}, and a buffer of this GPU's driver holds at most ` +
      `${mebibytes(most)} (maxBufferSize): load weights in fewer bits (weights: 'packed8' or 'packed4'), or use the 'wasm' backend.`,
  );
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, length) => product * length, 1);
