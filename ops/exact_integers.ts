import * as tf from '@tensorflow/tfjs';
import {webgpuPrograms} from './backends/webgpu_programs.js';
import {BackendError} from '../base/errors.js';

/**
 * webgl and webgpu pass int32 through float32 in tfjs' own ops: packed words above 2^24 would be corrupted silently. On
 * webgpu every op that makes, moves or reads codes has a shader of its own that does not.
 *
 * @param otherwise what can be used instead on this backend.
 */
export function requireExactIntegers(what: string, otherwise = 'a policy that keeps float32 numbers'): void {
  const backend = tf.getBackend();
  if (backend === 'webgl' || (backend === 'webgpu' && webgpuPrograms() === undefined)) {
    throw new BackendError(
      `${what} need exact 32-bit integers, which tfjs' ${backend} backend does not have; ` +
        `use the 'wasm' backend, or ${otherwise}.`,
    );
  }
}
