import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions} from '../../base/options.js';
import {seededRandom} from '../../base/random.js';
import {batchedMatMul} from '../batched_matmul/index.js';
import {expectRank} from './expect_rank.js';
import {qr} from './qr/index.js';
import {type RowsOf, asStack, unstack} from './stacks.js';
import {type Svd, svd} from './svd/index.js';

export interface RandomizedSvdOptions {
  /** How many singular values and vectors. From 1 to min(m, n). */
  readonly rank: number;
  /** How many random directions more than the rank. Default: 10. */
  readonly oversampling?: number;
  /** How often `x x^T` is applied to the sketch: more for singular values that fall slowly. Default: 2. */
  readonly powerIterations?: number;
  /** A whole number: the same seed gives the same directions on every machine. Default: 0. */
  readonly seed?: number;
}

const optionsSchema = v.strictObject({
  rank: atLeast(1),
  oversampling: v.optional(atLeast(0), 10),
  powerIterations: v.optional(atLeast(0), 2),
  seed: v.optional(atLeast(0), 0),
});

/**
 * The largest singular values and their vectors, nearly, from products with a few random directions (Halko, Martinsson and Tropp, 2011,
 * arXiv 0909.4061, algorithms 4.4 and 5.1): `svd` of `Q^T x` for an orthonormal basis Q of `(x x^T)^iterations x W`, W normally
 * distributed. Faster than `svd(x, {rank})` for ranks well below min(m, n) of large matrices. The expected spectral error is
 *
 *     (1 + sqrt(rank / (oversampling - 1)) + e sqrt(rank + oversampling) sqrt(min(m, n) - rank) / oversampling)^(1 / (2 iterations + 1))
 *
 * times `s_{rank + 1}`, the least possible one. Exact, but for rounding, if rank + oversampling reaches the rank of x. Differentiable in x.
 *
 * @param x float32 `[..., m, n]`; all matrices of a stack are given the same directions.
 * @throws InvalidArgumentError if x is not a stack of float32 matrices, or is empty, or for other options; BackendError as `svd` does.
 */
export function randomizedSvd<T extends tf.Tensor>(x: T, options: RandomizedSvdOptions): Svd<T> {
  const {rank, oversampling, powerIterations, seed} = checkOptions('randomizedSvd', optionsSchema, options);
  return tf.tidy(() => {
    const stack = asStack('randomizedSvd', x);
    expectRank('randomizedSvd', rank, stack);
    const [n, rows, columns] = stack.shape;
    const width = Math.min(rank + oversampling, rows, columns);
    const directions = tf.tile(tf.tensor3d(normalNumbers(columns * width, seed), [1, columns, width]), [
      n,
      1,
      1,
    ]);
    let {q} = qr(batchedMatMul(stack, directions));
    for (let i = 0; i < powerIterations; i++) {
      const {q: ofRows} = qr(batchedMatMul(stack, q, {transposeA: true}));
      q = qr(batchedMatMul(stack, ofRows)).q;
    }
    const {u, s, vt} = svd(batchedMatMul(q, stack, {transposeA: true}), {rank});
    return {
      u: unstack<T>(batchedMatMul(q, u), x),
      s: unstack<RowsOf<T>>(s, x),
      vt: unstack<T>(vt, x),
    };
  });
}

/** Normally distributed numbers (Box and Muller, 1958). */
function normalNumbers(count: number, seed: number): Float32Array {
  const next = seededRandom(seed);
  return Float32Array.from({length: count}, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return radius * Math.cos(2 * Math.PI * next());
  });
}
