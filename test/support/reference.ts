import * as tf from '@tensorflow/tfjs';
import {readsAtOnce} from '../../ops/host_numbers.js';

/** Runs `run` on the current backend with an op's reference instead of its kernel, if it has one. */
export function withReference<Result>(opName: string, run: () => Result): Result {
  const name = `Eigenkv${opName}`;
  const backend = tf.getBackend();
  const kernel = tf.getKernel(name, backend) as tf.KernelConfig | undefined;
  if (kernel === undefined) return run();
  tf.unregisterKernel(name, backend);
  try {
    return run();
  } finally {
    tf.registerKernel(kernel);
  }
}

/** The same of a reference that loops over numbers on the host: nothing on a backend that cannot read them at once. */
export function withHostReference<Result>(opName: string, run: () => Result): Result[] {
  return readsAtOnce() ? [withReference(opName, run)] : [];
}
