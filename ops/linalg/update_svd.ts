import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {allFinite} from '../finite/index.js';
import {eigh, type Eigen} from './eigh/index.js';

/**
 * What must be known of factored tokens `C B` to take in more: not the coefficients C [tokens, rank] themselves.
 * One pair per head, n heads.
 */
export type Spectrum = {
  /** B: orthonormal rows, float32 `[n, rank, dim]`. */
  basis: tf.Tensor3D;
  /** s^2: the squared singular values of the factored tokens, descending, so that C^T C = diag(s^2); float32 `[n, rank]`. */
  squares: tf.Tensor2D;
};

/** The spectrum after an update, and how to bring the coefficients to it. */
export type SvdUpdate = Spectrum & {
  /** What rotates the old coefficients, C' = C R: float32 `[n, rank, rank']`, rank = 0 if there were none yet. */
  rotation: tf.Tensor3D;
  /** The block's own coefficients: float32 `[n, tokens, rank']`. */
  coefficients: tf.Tensor3D;
  /** The squared Frobenius error that this update adds, per head: float32 `[n]`. */
  discarded: tf.Tensor1D;
};

/**
 * Adds a block X of tokens to a truncated singular value decomposition `C B`: the incremental update of Brand (2002,
 * "Incremental singular value decomposition of uncertain data with missing values"), without touching C and without a QR
 * of the residual. With rank' = min(rankLimit, rank + tokens, dim):
 *
 *     M = B^T diag(s^2) B + X^T X            [dim, dim]
 *     B' = the top rank' eigenvectors of M, as rows;   s'^2 = their eigenvalues
 *     R = B B'^T      C_X = X B'^T           so that  [C ; X-part]' = [C R ; C_X]
 *     discarded = the sum of M's other eigenvalues
 *
 * This is exact, given the truncated past. F = [C B ; X] are the tokens as they are known now, and since
 * C^T C = diag(s^2), F^T F = B^T C^T C B + X^T X = M. So M's eigenvectors are F's right singular vectors and its eigenvalues
 * their squared singular values, and by Eckart and Young (1936) F B'^T B' = [C R ; C_X] B' is the best approximation of F
 * of that rank, with the squared error `discarded`. The new coefficients keep the invariant:
 * [C R ; C_X]^T [C R ; C_X] = B' M B'^T = diag(s'^2).
 *
 * The squared errors of successive updates add up exactly: the error E of the tokens so far keeps E^T C B = 0. That holds after
 * the first update, E^T F B'^T B' = (1 - B'^T B') F^T F B'^T B' = 0, as B' are eigenvectors of F^T F, and each further update
 * changes it to E^T C B B'^T B' plus such a term. So the total squared error is the sum of all `discarded`.
 *
 * Squares must fit float32: numbers above 10^18 are refused, and numbers below 10^-18 count as zero.
 *
 * M is float32, so directions with less than 1e-7 of the largest s^2 are noise, and `discarded` has an error of that size. Even
 * then B' is orthonormal and C' B' = C B B'^T B' is a projection.
 *
 * An update of 3 heads, dim 64, rank 32 takes 0.9 ms on wasm for blocks of 16 or 64 tokens, 0.7 of it `eigh` (dim 128: 4 ms). The
 * residual's QR would save time only if rank + tokens is well below dim, and lose orthogonality in float32.
 *
 * @param past the spectrum of the tokens so far; undefined, or of rank 0, for the first block.
 * @param block X, float32 `[n, tokens, dim]`.
 * @param rankLimit the highest rank to keep.
 * @throws InvalidArgumentError if shapes do not fit, or squares overflow (not detected on GPU backends, which cannot be read
 *   synchronously); BackendError on webgpu: await `updateSvdAsync`.
 */
export function updateSvd(past: Spectrum | undefined, block: tf.Tensor3D, rankLimit: number): SvdUpdate {
  const known = checked(past, block, rankLimit);
  return tf.tidy(() => turnTo(eigh(gramOf(known, block)), known, block, rankLimit));
}

/** M = B^T diag(s^2) B + X^T X. */
function gramOf(past: Spectrum | undefined, block: tf.Tensor3D): tf.Tensor3D {
  const fresh = batchedMatMul(block, block, {transposeA: true});
  if (past === undefined) return fresh;
  const weighted: tf.Tensor3D = tf.mul(past.basis, tf.expandDims(past.squares, 2));
  return tf.add(batchedMatMul(past.basis, weighted, {transposeA: true}), fresh);
}

function turnTo(
  {values, vectors}: Eigen<tf.Tensor3D>,
  past: Spectrum | undefined,
  block: tf.Tensor3D,
  rankLimit: number,
): SvdUpdate {
  const [n, tokens, dim] = block.shape;
  if (allFinite(values) === false) {
    throw new InvalidArgumentError(
      'updateSvd got tokens whose squares leave float32 (numbers beyond 1e18, or NaN); a low rank needs smaller ones.',
    );
  }
  const rank = Math.min(rankLimit, (past?.basis.shape[1] ?? 0) + tokens, dim);
  const energies = tf.relu(values); // rounding leaves small negative numbers for directions without energy
  const basis = tf.slice(vectors, [0, 0, 0], [n, rank, dim]);
  return {
    basis,
    squares: tf.slice(energies, [0, 0], [n, rank]),
    rotation:
      past === undefined
        ? tf.zeros<tf.Rank.R3>([n, 0, rank])
        : batchedMatMul(past.basis, basis, {transposeB: true}),
    coefficients: batchedMatMul(block, basis, {transposeB: true}),
    discarded:
      rank === dim ? tf.zeros<tf.Rank.R1>([n]) : tf.sum(tf.slice(energies, [0, rank], [n, dim - rank]), 1),
  };
}

/** The past, or undefined if it is empty; throws if it does not fit the block. */
function checked(past: Spectrum | undefined, block: tf.Tensor3D, rankLimit: number): Spectrum | undefined {
  const [n, tokens, dim] = block.shape;
  if (!Number.isInteger(rankLimit) || rankLimit < 1) {
    throw new InvalidArgumentError(`rankLimit = ${rankLimit}; expected an integer of at least 1.`);
  }
  if (tokens < 1) {
    throw new InvalidArgumentError(
      `updateSvd got a block [${block.shape.join(', ')}]; it needs at least one token.`,
    );
  }
  if (past === undefined) return undefined;
  const {basis, squares} = past;
  if (
    basis.shape[0] !== n ||
    basis.shape[2] !== dim ||
    squares.shape.join() !== basis.shape.slice(0, 2).join()
  ) {
    throw new InvalidArgumentError(
      `updateSvd got a basis [${basis.shape.join(', ')}] with squares [${squares.shape.join(', ')}] and a block ` +
        `[${block.shape.join(', ')}]; it takes [n, rank, dim], [n, rank] and [n, tokens, dim].`,
    );
  }
  return basis.shape[1] === 0 ? undefined : past;
}
