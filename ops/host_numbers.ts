import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../base/errors.js';

/**
 * A tensor's numbers, read synchronously: for references that loop over them on cpu, where a tensor is in the host's memory, and
 * for code that decides by them.
 *
 * @throws BackendError on webgpu, which cannot be read synchronously.
 */
export function hostNumbers(tensor: tf.Tensor): Float32Array | Int32Array {
  if (tf.getBackend() === 'webgpu') {
    throw new BackendError(
      "This reads a tensor's numbers synchronously, which webgpu cannot do: let a KVCache call it, which waits for numbers, or use the 'wasm' backend.",
    );
  }
  // eslint-disable-next-line no-restricted-syntax -- see above
  return tensor.dataSync<'float32' | 'int32'>();
}

/** The same if a tensor can be read synchronously; `undefined` on GPU backends. For checks of arguments. */
export function readableNumbers(tensor: tf.Tensor): Float32Array | Int32Array | undefined {
  const backend = tf.getBackend();
  const reads = backend === 'cpu' || backend === 'wasm' || backend === 'tensorflow';
  return reads ? hostNumbers(tensor) : undefined;
}

/** Whether `hostNumbers` reads on the current backend. */
export const readsAtOnce = (): boolean => tf.getBackend() !== 'webgpu';

interface Arrival {
  numbers?: Float32Array | Int32Array;
  /** Never rejects. */
  readonly reading: Promise<void>;
}

const arrivals = new WeakMap<tf.Tensor, Arrival>();

/**
 * A tensor's numbers once they have come to the host; undefined until then. The first call begins to read them, so they are there after
 * the caller has awaited whatever was computed later. A tensor that is disposed meanwhile has none.
 */
export function arrivedNumbers(tensor: tf.Tensor): Float32Array | Int32Array | undefined {
  return arrivalOf(tensor).numbers;
}

/** Waits until `arrivedNumbers` has the numbers of a tensor. */
export async function untilArrived(tensor: tf.Tensor): Promise<void> {
  await arrivalOf(tensor).reading;
}

function arrivalOf(tensor: tf.Tensor): Arrival {
  const known = arrivals.get(tensor);
  if (known !== undefined) return known;
  const arrival: Arrival = {
    reading: tensor.data<'float32' | 'int32'>().then(
      numbers => void (arrival.numbers = numbers),
      () => undefined, // disposed, or the device was lost, which the next op says
    ),
  };
  arrivals.set(tensor, arrival);
  return arrival;
}

/** A tensor of numbers that `arrivedNumbers` knows at once. */
export function arrivedTensor(numbers: Float32Array, shape: number[]): tf.Tensor {
  const tensor = tf.tensor(numbers, shape);
  arrivals.set(tensor, {numbers: numbers.slice(), reading: Promise.resolve()});
  return tensor;
}

/** To the nearest integer; of two, the even one. */
export function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
