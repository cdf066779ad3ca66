import type * as tf from '@tensorflow/tfjs';

/**
 * A tensor's numbers, at once: for references that loop over them on cpu, where the tensor's memory is the host's. The
 * backends on which reading at once fails (webgpu) cannot hold the packed codes that need this.
 */
export function hostNumbers(tensor: tf.Tensor): Float32Array | Int32Array {
  // eslint-disable-next-line no-restricted-syntax -- see above
  return tensor.dataSync<'float32' | 'int32'>();
}
