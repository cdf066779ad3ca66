import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../batched_matmul/index.js';
import {inverseGaps, smallestNormal} from '../inverse_gaps.js';

/**
 * The gradient of `eigh`, from that of its packed result, `[n, dim + 1, dim]`. With G the gradient of the rows V and l that of the values
 * (Giles, 2008, 3.1):
 *
 *     dx = V^T (diag(l) + F o (V G^T)) V, symmetrised      F_ij = 1 / (value_j - value_i)
 *
 * F is computed for values / max |value|: gaps of subnormal values have no inverse in float32.
 */
export function eighGradient(dy: tf.Tensor3D, packed: tf.Tensor3D): tf.Tensor3D {
  return tf.tidy(() => {
    const [n, , dim] = packed.shape;
    const vectors = tf.slice(packed, [0, 1, 0], [n, dim, dim]);
    const values: tf.Tensor2D = tf.reshape(tf.slice(packed, [0, 0, 0], [n, 1, dim]), [n, dim]);
    const scale = tf.maximum(tf.max(tf.abs(values), 1, true), smallestNormal);
    const products = batchedMatMul(vectors, tf.slice(dy, [0, 1, 0], [n, dim, dim]), {transposeB: true});
    const own = tf.mul(tf.slice(dy, [0, 0, 0], [n, 1, dim]), tf.eye(dim)); // diag(l)
    const turned = tf.mul(products, inverseGaps(tf.div(values, scale)));
    const inner: tf.Tensor3D = tf.add(own, tf.div(turned, tf.expandDims(scale, 2)));
    const dx = batchedMatMul(batchedMatMul(vectors, inner, {transposeA: true}), vectors);
    return tf.mul(tf.add(dx, tf.transpose(dx, [0, 2, 1])), 0.5);
  });
}
