import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {eigh} from './eigh/index.js';
import {divide, largestMagnitude, lengths} from './lengths.js';

/** How hard `rangeFinder` looks. */
export interface RangeFinderOptions {
  /** Random directions beyond the rank; default 8 (Halko et al. advise 5 to 10). */
  readonly oversample?: number;
  /** Passes that multiply by x x^T and so sharpen a slowly decaying spectrum; default 2. */
  readonly powerIterations?: number;
  /** Of the random directions; the same seed gives the same basis. Default 0. */
  readonly seed?: number;
}

/**
 * An orthonormal basis Q of what a matrix mostly maps to, so that `Q Q^T x ~ x`: the randomised range finder with power
 * iterations (Halko, Martinsson and Tropp, 2009, arXiv 0909.4061, algorithm 4.4), then cut to the `rank` best directions
 * by the left singular vectors of the small `Q^T x` (their stage B). With the default options the error is within a few percent
 * of the best of that rank.
 *
 * It is for matrices that are long both ways, such as attention weights [tokens, tokens]: tf.linalg.qr is slow (3 matrices
 * [512, 64] at rank 8: 0.17 s on wasm, where `svd`, whose cost is that of the shorter side, takes 2 ms). For a basis of the
 * rows' space hand in the transpose.
 *
 * @param x float32 `[n, rows, columns]`.
 * @param rank from 1 to min(rows, columns).
 * @returns float32 `[n, rows, rank]`, orthonormal columns, the most important first.
 * @throws InvalidArgumentError where the rank or an option is out of range; BackendError on webgpu.
 */
export function rangeFinder(
  x: tf.Tensor3D,
  rank: number,
  {oversample = 8, powerIterations = 2, seed = 0}: RangeFinderOptions = {},
): tf.Tensor3D {
  const [n, rows, columns] = x.shape;
  const largest = Math.min(rows, columns);
  if (!Number.isInteger(rank) || rank < 1 || rank > largest) {
    throw new InvalidArgumentError(
      `rank = ${rank} for matrices [${rows}, ${columns}]; expected an integer from 1 to ${largest}.`,
    );
  }
  expectCount('oversample', oversample);
  expectCount('powerIterations', powerIterations);
  return tf.tidy(() => {
    const directions = Math.min(rank + oversample, largest);
    const scaled = divide(x, largestMagnitude(x));
    const probes: tf.Tensor3D = tf.randomNormal([n, columns, directions], 0, 1, 'float32', seed);
    let basis = orthonormal(batchedMatMul(scaled, probes), seed);
    for (let pass = 0; pass < powerIterations; pass++) {
      const back = orthonormal(batchedMatMul(scaled, basis, {transposeA: true}), seed);
      basis = orthonormal(batchedMatMul(scaled, back), seed);
    }
    const small = batchedMatMul(basis, scaled, {transposeA: true});
    const {vectors} = eigh(batchedMatMul(small, small, {transposeB: true}));
    return batchedMatMul(basis, tf.slice(vectors, [0, 0, 0], [n, rank, directions]), {transposeB: true});
  });
}

/**
 * Columns made orthonormal. tf.linalg.qr divides by zero at a column that the former ones span exactly (of a matrix of one
 * rank, for one), so noise of float32's precision is added first; such columns become directions without meaning.
 */
function orthonormal(columns: tf.Tensor3D, seed: number): tf.Tensor3D {
  const noise = tf.randomNormal(columns.shape, 0, 1e-7, 'float32', seed + 1);
  const regular = tf.add(divide(columns, lengths(columns, [1, 2])), noise);
  // matrix by matrix: a stack that is taller than wide makes tf.linalg.qr throw (it gives R the wrong shape)
  return tf.stack(tf.unstack(regular).map(matrix => tf.linalg.qr(matrix)[0])) as tf.Tensor3D;
}

function expectCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError(`${name} = ${value}; expected an integer of at least 0.`);
  }
}
