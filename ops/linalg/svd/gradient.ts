import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../batched_matmul/index.js';
import {inverseGaps, smallestNormal} from '../inverse_gaps.js';

/**
 * The gradient of `svd`, from that of its triplets, `[n, count, rows + 1 + columns]`. With U, s, V of the triplets and their gradients
 * dU, ds, dV (Townsend, 2016), where W = U^T dU - dU^T U and Z = V^T dV - dV^T V:
 *
 *     dx = U (diag(ds) + T) V^T + (1 - U U^T) dU S^-1 V^T + U S^-1 dV^T (1 - V V^T)
 *     T_ij = (W_ij s_j + s_i Z_ij) / (s_j^2 - s_i^2) = ((W + Z)_ij / (s_j - s_i) + (W - Z)_ij / (s_j + s_i)) / 2
 *
 * Of equal singular values the term of W + Z is not defined, and left out. T and S^-1 are computed for s / max s.
 */
export function svdGradient(
  dy: tf.Tensor3D,
  triplets: tf.Tensor3D,
  rows: number,
  columns: number,
): tf.Tensor3D {
  return tf.tidy(() => {
    const [u, s, v] = partsOf(triplets, rows, columns);
    const [dU, dS, dV] = partsOf(dy, rows, columns);
    const scale = tf.maximum(tf.max(s, 1, true), smallestNormal);
    const shares: tf.Tensor3D = tf.div(s, scale);
    const across: tf.Tensor3D = tf.transpose(shares, [0, 2, 1]);
    const least = Math.max(rows, columns) * 2 ** -23; // below it they are rounding errors
    const inverse = inverseAbove(shares, least);
    const [ofU, ofV] = [skew(u, dU), skew(v, dV)];

    const apart = tf.mul(inverseGaps(tf.squeeze(shares, [2])), tf.add(ofU, ofV));
    const together = tf.mul(inverseAbove(tf.add(shares, across), least), tf.sub(ofU, ofV));
    const own = tf.mul(dS, tf.eye(shares.shape[1])); // diag(ds)
    const inner: tf.Tensor3D = tf.add(own, tf.div(tf.mul(tf.add(apart, together), 0.5), scale));
    const ofColumns: tf.Tensor3D = tf.add(
      batchedMatMul(inner, v),
      tf.div(tf.mul(inverse, outside(dV, v)), scale),
    );
    const ofRows: tf.Tensor3D = tf.div(tf.mul(inverse, outside(dU, u)), scale);
    return tf.add(
      batchedMatMul(u, ofColumns, {transposeA: true}),
      batchedMatMul(ofRows, v, {transposeA: true}),
    );
  });
}

/** 1 / x where x is above a number, else 0. */
function inverseAbove(x: tf.Tensor3D, least: number): tf.Tensor3D {
  const counts = tf.greater(x, least);
  return tf.where(counts, tf.reciprocal(tf.where(counts, x, tf.onesLike(x))), tf.zerosLike(x));
}

/** Rows U^T, s as a column, and rows V^T. */
function partsOf(
  triplets: tf.Tensor3D,
  rows: number,
  columns: number,
): [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D] {
  const [n, count] = triplets.shape;
  return [
    tf.slice(triplets, [0, 0, 0], [n, count, rows]),
    tf.slice(triplets, [0, 0, rows], [n, count, 1]),
    tf.slice(triplets, [0, 0, rows + 1], [n, count, columns]),
  ];
}

/** W^T dW - dW^T W of orthonormal columns, given as rows. */
function skew(w: tf.Tensor3D, dW: tf.Tensor3D): tf.Tensor3D {
  const product = batchedMatMul(w, dW, {transposeB: true});
  return tf.sub(product, tf.transpose(product, [0, 2, 1]));
}

/** The parts of rows outside of the span of orthonormal rows. */
function outside(rows: tf.Tensor3D, of: tf.Tensor3D): tf.Tensor3D {
  return tf.sub(rows, batchedMatMul(batchedMatMul(rows, of, {transposeB: true}), of));
}
