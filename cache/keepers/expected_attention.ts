import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, atLeast, defineFactory, wholeNumberWithin} from '../../base/options.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {meanRotation} from '../../ops/rotate/rope.js';
import type {Candidates, Keeper} from '../contract.js';
import {unrotateAt} from '../past/decode.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';
import {dots, sumOfGroups, timesMetric, toQueryHeads} from './query_heads.js';

export interface ExpectedAttentionOptions extends BudgetOptions {
  /** How many of the newest queries the mean and the covariance are of. Default 64. */
  readonly queries?: number;
  /** Over how many coming positions the expectation is, at most 2^24: float32 knows no positions beyond. Default 512. */
  readonly ahead?: number;
  /**
   * Added to the expected attention before it is multiplied by the norm of the value, a number >= 0. Default 0.002: the paper's 0.01 lost more
   * of both texts in RESULTS (512 of 4,096 tokens of WikiText-2: KL .129 in place of .114; .113 with 0.0005, .144 with 0).
   */
  readonly epsilon?: number;
}

const nonNegative = 'expected a number >= 0';

/**
 * Keeps the tokens to which coming queries are expected to attend (Expected Attention, Devoto et al., 2025, arXiv 2510.00636). If these
 * are normal, with the mean m and covariance S of the newest queries before their rotation, rotated by the mean R of the rotations of the
 * next `ahead` positions, the expected attention and the score of token j are
 *
 *     a_j = softmax_j(k_j . R m / sqrt(dim) + k_j^T R S R^T k_j / (2 dim))      sum_h (a_hj + epsilon) |v_j W_O,h|
 *
 * with the biases of tokens that took over others in the exponents, summed over the query heads h of the group, with the output projection W_O of
 * the layer (the identity if plain code calls the cache, or a layer of another package). The softmax is over the candidates without the sinks.
 */
export const expectedAttention: Factory<ExpectedAttentionOptions, Keeper> = defineFactory(
  'expectedAttention',
  {
    ...budgetEntries,
    queries: v.optional(atLeast(1), 64),
    ahead: v.optional(wholeNumberWithin(1, 2 ** 24), 512),
    epsilon: v.optional(
      v.pipe(v.number(nonNegative), v.finite(nonNegative), v.minValue(0, nonNegative)),
      0.002,
    ),
  },
  options => ({
    name: 'expectedAttention',
    options,
    ...limitsOf(options),
    queries: options.queries,
    score: candidates => {
      const {positions, sinks, byTile, bias} = candidates;
      const kvHeads = positions.shape[1];
      const expected = byTile(expectedExponent(candidates, options.ahead));
      const [, heads] = expected.shape;
      const exponents =
        bias === undefined ? expected : tf.add<tf.Tensor4D>(expected, toQueryHeads(bias, heads));
      const isSink = tf.less(toQueryHeads(positions, heads), sinks);
      const shares = tf.softmax(
        tf.reshape(tf.where(isSink, tf.fill(exponents.shape, -1e30), exponents), exponents.shape.slice(0, 3)),
      );
      const norms = byTile(({values}) => {
        const ofHeads = toQueryHeads(values(), heads);
        return tf.sqrt(tf.relu(dots(timesMetric(ofHeads, candidates.outputMetric()), ofHeads)));
      });
      const weights = tf.add(tf.reshape(shares, exponents.shape), options.epsilon);
      return sumOfGroups(tf.mul(weights, norms), kvHeads);
    },
  }),
);

/**
 * Returns what computes the logarithm of the expected weight of each token before the softmax, `[batch, heads, tokens, 1]`. With the deviations
 * x_i of n queries from their mean, `k^T S k = sum_i (k . x_i)^2 / n`, so no covariance matrix is needed.
 */
function expectedExponent(candidates: Candidates, ahead: number): Parameters<Candidates['byTile']>[0] {
  const {rope, tokensSeen} = candidates;
  const {count, rotated, scale} = candidates.queries();
  const [, heads, , dim] = rotated.shape;
  const plain = unrotateAt(rotated, tokensSeen - count, {rope, tokensSeen});
  const mean: tf.Tensor4D = tf.mean(plain, 2, true);
  const rotation = rope && meanRotation(rope.config, dim, tokensSeen, ahead);
  const coming = (x: tf.Tensor4D): tf.Tensor4D => {
    if (rotation === undefined) return x;
    const everyRow = (row: tf.Tensor2D): tf.Tensor2D => tf.tile(row, [x.shape[2], 1]);
    return rotate(x, {...rotation, cos: everyRow(rotation.cos), sin: everyRow(rotation.sin)});
  };
  const [center, deviations] = [coming(mean), coming(tf.sub(plain, mean))];
  return ({keys}) => {
    const ofHeads = toQueryHeads(keys(), heads);
    const toMean = tf.mul(batchedMatMul(ofHeads, center, {transposeB: true}), scale);
    const spread = tf.mean(tf.square(batchedMatMul(ofHeads, deviations, {transposeB: true})), 3, true);
    return tf.add(toMean, tf.mul(spread, scale ** 2 / 2));
  };
}
