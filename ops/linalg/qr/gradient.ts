import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../batched_matmul/index.js';
import {smallestNormal} from '../inverse_gaps.js';
import {pinv} from '../pinv.js';

/** Columns that are smaller beside the largest one count as smaller than they are, so that nothing overflows. */
const leastShare = 2 ** -100;

/**
 * The gradient of `qr`, from that of its packed factors, `[n, count, rows + columns]` (Roberts and Roberts, 2020). If there are no more
 * columns than rows, with dQ and dR the gradients of Q and R:
 *
 *     dx = (dQ + Q (tril(M) + tril(M, -1)^T)) R^-T       M = R dR^T - dQ^T Q
 *
 * R is taken apart as c R' E, c its largest number and E diagonal: the columns of R' have 1 as their largest number, so that columns of
 * other sizes are no less independent, and no number leaves float32 with x:
 *
 *     dx = (dQ / c + Q (tril(M') + tril(M', -1)^T)) R'^-T E^-1       M' = R' E dR^T - (dQ / c)^T Q
 *
 * A wide x = [X | Y] has X = Q U and Y = Q V, R = [U | V]: so dY = Q dV, and X gets the gradients dQ + Y dV^T and dU.
 */
export function qrGradient(dy: tf.Tensor3D, x: tf.Tensor3D, factors: tf.Tensor3D): tf.Tensor3D {
  return tf.tidy(() => {
    const [n, rows, columns] = x.shape;
    const count = factors.shape[1];
    const part = (of: tf.Tensor3D, from: number, size: number) => tf.slice(of, [0, 0, from], [n, -1, size]);
    const [q, r] = [part(factors, 0, rows), part(factors, rows, count)]; // q's columns lie as rows
    const sizes = tf.abs(r);
    const scale = tf.maximum(tf.max(sizes, [1, 2], true), smallestNormal); // c
    const shares = tf.maximum(tf.div(tf.max(sizes, 1, true), scale), leastShare); // E
    const even: tf.Tensor3D = tf.div(tf.div(r, scale), shares); // R'
    let dQ: tf.Tensor3D = tf.div(part(dy, 0, rows), scale);
    const dR: tf.Tensor3D = tf.mul(part(dy, rows, count), shares);
    const [wide, dV] = [part(x, count, columns - count), part(dy, rows + count, columns - count)];
    if (columns > count) dQ = tf.add(dQ, batchedMatMul(dV, tf.div(wide, scale), {transposeB: true}));
    const m = tf.sub(batchedMatMul(even, dR, {transposeB: true}), batchedMatMul(dQ, q, {transposeB: true}));
    const lower = tf.linalg.bandPart(m, -1, 0);
    const strictly = tf.sub(lower, tf.linalg.bandPart(m, 0, 0));
    const symmetric: tf.Tensor3D = tf.add(lower, tf.transpose(strictly, [0, 2, 1]));
    // of rows: dx^T = E^-1 R'^-1 (dQ^T / c + symmetric Q^T)
    const rowsOfX = batchedMatMul(pinv(even), tf.add(dQ, batchedMatMul(symmetric, q)));
    const dX: tf.Tensor3D = tf.div(tf.transpose(rowsOfX, [0, 2, 1]), shares);
    return columns > count ? tf.concat([dX, batchedMatMul(q, dV, {transposeA: true})], 2) : dX;
  });
}
