import type * as tf from '@tensorflow/tfjs';
import {onHost} from '../host_stacks.js';
import {svd64} from './svd64.js';

/** `svd` in float64 on the host: triplets `[n, min(rows, columns), rows + 1 + columns]`. */
export function svdReference({x}: {x: tf.Tensor3D}): tf.Tensor3D {
  const [, rows, columns] = x.shape;
  return onHost('svd', x, [Math.min(rows, columns), rows + 1 + columns], matrix =>
    svd64(matrix, rows, columns).map(({u, s, v}) => [...u, s, ...v]),
  );
}
