import * as tf from '@tensorflow/tfjs';
import {asTfjsWebgpuBackend} from '../../ops/backends/webgpu_device.js';

/** The device of the current backend, which has to be webgpu. */
export function gpuDevice(): GPUDevice {
  const backend = asTfjsWebgpuBackend(tf.backend());
  if (backend === undefined)
    throw new Error(`The backend is ${tf.getBackend()}; a test of GPUs needs webgpu.`);
  return backend.device;
}

/** The limits that a test may make look smaller than the driver's: 128 MiB and more. */
type Limit = 'maxStorageBufferBindingSize' | 'maxBufferSize';

/** Runs with a limit of `bytes` on webgpu; on other backends there is none. */
export function withLimit<Result>(
  bytes: number,
  run: () => Result,
  limit: Limit = 'maxStorageBufferBindingSize',
): Result {
  if (tf.getBackend() !== 'webgpu') return run();
  const limited = gpuDevice();
  const own = Object.getOwnPropertyDescriptor(limited, 'limits');
  const limits = new Proxy(limited.limits, {
    get: (real, name) => (name === limit ? bytes : (Reflect.get(real, name) as unknown)),
  });
  Object.defineProperty(limited, 'limits', {value: limits, configurable: true});
  try {
    return run();
  } finally {
    if (own === undefined) Reflect.deleteProperty(limited, 'limits');
    else Object.defineProperty(limited, 'limits', own);
  }
}

/** Loses the device of the current backend, as an unplugged or hung GPU would. */
export async function loseDevice(): Promise<void> {
  const device = gpuDevice();
  device.destroy();
  await device.lost;
}
