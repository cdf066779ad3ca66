import type * as tf from '@tensorflow/tfjs';
import {onHost} from '../host_stacks.js';
import {qr64} from './qr64.js';

/** `qr` in float64 on the host: `[n, count, rows + columns]`, rows (column of Q, row of R), count = min(rows, columns). */
export function qrReference({x}: {x: tf.Tensor3D}): tf.Tensor3D {
  const [, rows, columns] = x.shape;
  return onHost('qr', x, [Math.min(rows, columns), rows + columns], matrix =>
    qr64(matrix, rows, columns).map(({q, r}) => [...q, ...r]),
  );
}
