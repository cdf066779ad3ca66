import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../batched_matmul/index.js';
import {pinv} from '../pinv.js';

/**
 * The gradient of `qr`, from that of its packed factors, `[n, count, rows + columns]` (Roberts and Roberts, 2020). If there are no more
 * columns than rows, with dQ and dR the gradients of Q and R:
 *
 *     dx = (dQ + Q (tril(M) + tril(M, -1)^T)) R^-T       M = R dR^T - dQ^T Q
 *
 * A wide x = [X | Y] has X = Q U and Y = Q V, R = [U | V]: so dY = Q dV, and X gets the gradients dQ + Y dV^T and dU.
 */
export function qrGradient(dy: tf.Tensor3D, x: tf.Tensor3D, factors: tf.Tensor3D): tf.Tensor3D {
  return tf.tidy(() => {
    const [n, rows, columns] = x.shape;
    const count = factors.shape[1];
    const part = (of: tf.Tensor3D, from: number, size: number) => tf.slice(of, [0, 0, from], [n, -1, size]);
    const [q, r] = [part(factors, 0, rows), part(factors, rows, count)]; // q's columns lie as rows
    let dQ = part(dy, 0, rows);
    const dR = part(dy, rows, count);
    const [wide, dV] = [part(x, count, columns - count), part(dy, rows + count, columns - count)];
    if (columns > count) dQ = tf.add(dQ, batchedMatMul(dV, wide, {transposeB: true}));
    const m = tf.sub(batchedMatMul(r, dR, {transposeB: true}), batchedMatMul(dQ, q, {transposeB: true}));
    const lower = tf.linalg.bandPart(m, -1, 0);
    const strictly = tf.sub(lower, tf.linalg.bandPart(m, 0, 0));
    const symmetric: tf.Tensor3D = tf.add(lower, tf.transpose(strictly, [0, 2, 1]));
    // of rows: dx^T = R^-1 (dQ^T + symmetric Q^T)
    const rowsOfX = batchedMatMul(pinv(r), tf.add(dQ, batchedMatMul(symmetric, q)));
    const dX = tf.transpose(rowsOfX, [0, 2, 1]);
    return columns > count ? tf.concat([dX, batchedMatMul(q, dV, {transposeA: true})], 2) : dX;
  });
}
