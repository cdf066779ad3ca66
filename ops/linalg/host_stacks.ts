import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';

/**
 * A decomposition of each matrix of a stack on the host, whose rows `decompose` gives; a matrix with a number that is not finite gives NaN.
 *
 * @throws BackendError on webgpu.
 */
export function onHost(
  owner: string,
  x: tf.Tensor3D,
  shape: readonly [number, number],
  decompose: (matrix: Float32Array) => readonly (readonly number[])[],
): tf.Tensor3D {
  const numbers = hostMatrices(owner, x);
  const [n, rows, columns] = x.shape;
  const size = shape[0] * shape[1];
  const packed = new Float32Array(n * size);
  for (let i = 0; i < n; i++) {
    const matrix = numbers.subarray(i * rows * columns, (i + 1) * rows * columns);
    if (!matrix.every(Number.isFinite)) packed.fill(NaN, i * size, (i + 1) * size);
    else packed.set(decompose(matrix).flat(), i * size);
  }
  return tf.tensor3d(packed, [n, ...shape]);
}

/** The numbers of matrices, read synchronously. */
export function hostMatrices(owner: string, x: tf.Tensor): Float32Array {
  if (tf.getBackend() === 'webgpu') {
    throw new BackendError(
      `${owner} reads its numbers synchronously, which webgpu cannot do: use 'wasm', or await the numbers and decompose them there.`,
    );
  }
  // the reference computes on the host: on cpu and wasm the numbers already lie there
  // eslint-disable-next-line no-restricted-syntax
  return x.dataSync<'float32'>();
}
