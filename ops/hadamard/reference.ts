import * as tf from '@tensorflow/tfjs';

export interface HadamardAttributes {
  /** How many channels one transform mixes: a power of two that divides the last axis. */
  readonly block: number;
}

/** `hadamard` in plain tfjs ops: a product with the matrix, whose element (i, j) is -1 to the number of bits i and j share. */
export function hadamardReference({x}: {x: tf.Tensor}, {block}: HadamardAttributes): tf.Tensor {
  const matrix = Float32Array.from({length: block * block}, (_, at) => {
    let shared = Math.floor(at / block) & (at % block);
    let sign = 1;
    for (; shared !== 0; shared &= shared - 1) sign = -sign;
    return sign / Math.sqrt(block);
  });
  const runs = tf.reshape(x, [x.size / block, block]);
  return tf.reshape(tf.matMul(runs, tf.tensor2d(matrix, [block, block])), x.shape);
}
