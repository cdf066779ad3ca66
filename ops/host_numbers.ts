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
      "This reads a tensor's numbers synchronously, which webgpu cannot do: use the 'wasm' backend, or a policy that decides " +
        'without reading (full, sliding, quantized, float8, H2O, LRU, LFU).',
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

/** To the nearest integer; of two, the even one. */
export function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
