import * as tf from '@tensorflow/tfjs';
import {asTfjsWebgpuBackend} from '../../ops/backends/webgpu_device.js';

/** The device of the current backend, which has to be webgpu. */
export function gpuDevice(): GPUDevice {
  const backend = asTfjsWebgpuBackend(tf.backend());
  if (backend === undefined)
    throw new Error(`The backend is ${tf.getBackend()}; a test of GPUs needs webgpu.`);
  return backend.device;
}
