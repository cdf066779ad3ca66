import * as tf from '@tensorflow/tfjs';
import {eigh64} from '../float64.js';
import {hostMatrices} from '../host_stacks.js';

/** `eigh` in float64 on the host, on backends whose tensors can be read synchronously (not webgpu). */
export function eighReference({x}: {x: tf.Tensor3D}): tf.Tensor3D {
  const [n, dim] = x.shape;
  return tf.tensor3d(packedEigenvectors(hostMatrices('eigh', x), n, dim), [n, dim + 1, dim]);
}

/** `[n, dim, dim]` -> `[n, dim + 1, dim]` on the host: eigenvalues, then eigenvectors as rows; NaN if x is not finite. */
export function packedEigenvectors(x: Float32Array, n: number, dim: number): Float32Array {
  const packed = new Float32Array(n * (dim + 1) * dim);
  for (let i = 0; i < n; i++) {
    const matrix = x.subarray(i * dim * dim, (i + 1) * dim * dim);
    const at = i * (dim + 1) * dim;
    if (!matrix.every(Number.isFinite)) {
      packed.fill(NaN, at, at + (dim + 1) * dim);
      continue;
    }
    const {values, vectors} = eigh64(matrix, dim);
    packed.set(values, at);
    packed.set(vectors, at + dim);
  }
  return packed;
}
