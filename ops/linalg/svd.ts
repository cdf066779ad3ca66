import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {eigh, eighAsync} from './eigh/index.js';
import {divide, largestMagnitude, lengths} from './lengths.js';

/** Thin singular value decompositions `x = u diag(s) vt`, k = min(rows, columns). */
export type Svd = {
  /** float32 `[n, rows, k]`. */
  u: tf.Tensor3D;
  /** float32 `[n, k]`. */
  s: tf.Tensor2D;
  /** float32 `[n, k, columns]`. */
  vt: tf.Tensor3D;
};

/**
 * Thin singular value decomposition through the eigenvectors of the smaller Gram matrix (x^T x or x x^T). On the longer
 * side, u s = x v gives vectors and singular values together, so that `u diag(s) vt` is x to 1e-6 of its norm.
 *
 * The Gram matrix squares the singular values: those below about 3e-4 of the largest (the root of float32's 6e-8) are noise
 * of that size and need not be in order, and their vectors on the longer side need not be orthogonal; a singular value of
 * exactly zero has the zero vector there. Where that matters, take `svd64`. Signs are those of `eigh` on the shorter side.
 *
 * @param x float32 `[n, rows, columns]`, of any scale.
 * @throws InvalidArgumentError where x is not that; BackendError on webgpu: await `svdAsync`.
 */
export function svd(x: tf.Tensor3D): Svd {
  return tf.tidy(() => {
    const scaled = normalise(x);
    return fromGram(scaled, eigh(smallerGram(scaled.x)).vectors);
  });
}

/** `svd` on any backend. */
export async function svdAsync(x: tf.Tensor3D): Promise<Svd> {
  const {scaled, gram} = tf.tidy(() => {
    const scaled = normalise(x);
    return {scaled, gram: smallerGram(scaled.x)};
  });
  const {values, vectors} = await eighAsync(gram);
  const result = tf.tidy(() => fromGram(scaled, vectors));
  tf.dispose([scaled.x, scaled.scale, gram, values, vectors]);
  return result;
}

/** Every matrix divided by its largest magnitude, so that squares neither overflow nor vanish. */
type Scaled = {x: tf.Tensor3D; scale: tf.Tensor3D};

function normalise(x: tf.Tensor3D): Scaled {
  const scale = largestMagnitude(x);
  return {x: divide(x, scale), scale};
}

const isWide = (x: tf.Tensor3D) => x.shape[1] < x.shape[2];

function smallerGram(x: tf.Tensor3D): tf.Tensor3D {
  return batchedMatMul(x, x, isWide(x) ? {transposeB: true} : {transposeA: true});
}

/** `vectors` are the eigenvectors of the smaller Gram matrix, as rows. */
function fromGram({x, scale}: Scaled, vectors: tf.Tensor3D): Svd {
  if (isWide(x)) {
    const product = batchedMatMul(vectors, x); // diag(s) vt
    const s = lengths(product, [2]);
    const u = tf.transpose(vectors, [0, 2, 1]);
    return {u, s: tf.squeeze(tf.mul(s, scale), [2]), vt: divide(product, s)};
  }
  const product = batchedMatMul(x, vectors, {transposeB: true}); // u diag(s)
  const s = lengths(product, [1]);
  return {u: divide(product, s), s: tf.squeeze(tf.mul(s, scale), [1]), vt: tf.clone(vectors)};
}
