import * as tf from '@tensorflow/tfjs';
import {BackendError} from './errors.js';

/** webgl and webgpu pass int32 through float32 in tfjs' own ops: packed words above 2^24 would be corrupted in silence. */
export function requireExactIntegers(what: string): void {
  const backend = tf.getBackend();
  if (backend === 'webgl' || backend === 'webgpu') {
    throw new BackendError(
      `${what} need exact 32-bit integers, which tfjs' ${backend} backend does not have; ` +
        "use the 'wasm' backend, or a policy that keeps float32 numbers.",
    );
  }
}
