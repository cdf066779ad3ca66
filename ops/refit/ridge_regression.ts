import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';

/**
 * `lambda`, as a share of the mean squared length of a query's attention. With less, values fit the reference queries and not those that come: where SmolLM2 read 2,048
 * tokens of a validation text and `h2o` kept 256, the divergence was .073 nats with .02, .054 with .1, .052 with .5, .053 with 2, and .060 by `mergeTokens` alone.
 */
const ridge = 0.5;

/**
 * Finds how values have to change so that attention outputs change by given differences, by least squares:
 *
 *     argmin_X |P X - D|^2 + lambda |X|^2  =  P^T (P P^T + lambda I)^-1 D        lambda = 0.5 trace(P P^T) / rows
 *
 * for each key head, over reference queries. The second form needs a matrix of queries by queries only, and P by runs of tokens. It is solved by conjugate gradients
 * (Hestenes and Stiefel, 1952), all columns of D together. Inside the caller's tidy.
 *
 * @param runs of each run of tokens, returns the attention P that the queries give to them: float32 `[batch, kvHeads, rows, tokens]`.
 *   Called twice, inside a tidy of its own.
 * @param differences D, float32 `[batch, kvHeads, rows, dimV]`.
 * @returns X of each run, float32 `[batch, kvHeads, tokens, dimV]`.
 */
export function ridgeRegression(
  runs: readonly (() => tf.Tensor4D)[],
  differences: tf.Tensor4D,
): tf.Tensor4D[] {
  // squares of numbers beyond 1e19 exceed float32: columns are solved as shares of their largest number
  const largest = tf.max<tf.Tensor4D>(tf.abs(differences), 2, true);
  const shares = tf.divNoNan<tf.Tensor4D>(differences, largest);
  const squares = runs.map(run =>
    tf.tidy(() => {
      const p = run();
      return batchedMatMul<tf.Tensor4D>(p, p, {transposeB: true});
    }),
  );
  const dual = tf.tidy(() => {
    const gram = tf.addN(squares);
    const rows = gram.shape[2];
    const identity = tf.eye(rows);
    const diagonal = tf.sum(tf.mul<tf.Tensor4D>(gram, identity), [2, 3], true);
    const lambda = tf.mul(diagonal, ridge / rows);
    return conjugateGradients(tf.add<tf.Tensor4D>(gram, tf.mul(lambda, identity)), shares);
  });
  return runs.map(run =>
    tf.tidy(() => tf.mul<tf.Tensor4D>(batchedMatMul(run(), dual, {transposeA: true}), largest)),
  );
}

/** More change nothing that float32 shows: with this ridge, matrices of 192 rows have conditions up to 400. */
const iterations = 24;

/** Solves A X = B for symmetric positive A, each column by itself: float32 `[batch, kvHeads, rows, columns]`. */
function conjugateGradients(a: tf.Tensor4D, b: tf.Tensor4D): tf.Tensor4D {
  let [x, residual, direction] = [tf.zerosLike(b), b, b];
  let size = squareSums(residual);
  for (let i = 0; i < iterations; i++) {
    const [nextX, nextResidual, nextDirection, nextSize] = tf.tidy(() => {
      const product = batchedMatMul<tf.Tensor4D>(a, direction);
      const step = tf.divNoNan(size, tf.sum(tf.mul<tf.Tensor4D>(direction, product), 2, true));
      const left = tf.sub<tf.Tensor4D>(residual, tf.mul(step, product));
      const leftSize = squareSums(left);
      const turned = tf.add<tf.Tensor4D>(left, tf.mul(tf.divNoNan(leftSize, size), direction));
      return [tf.add<tf.Tensor4D>(x, tf.mul(step, direction)), left, turned, leftSize];
    });
    [x, residual, direction, size] = [nextX, nextResidual, nextDirection, nextSize];
  }
  return x;
}

const squareSums = (x: tf.Tensor4D): tf.Tensor4D => tf.sum(tf.square(x), 2, true);
