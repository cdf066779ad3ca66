import * as tf from '@tensorflow/tfjs';

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
