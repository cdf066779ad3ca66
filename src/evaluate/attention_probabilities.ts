import * as tf from '@tensorflow/tfjs';
import {biasesOf} from '../../ops/attention/attend/stored_keys.js';
import {visibleTokens} from '../../ops/attention/attend/visibility.js';
import {type Scoring, alibiBias, scoresOf} from '../../ops/attention/scoring.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';

/**
 * Computes the attention probabilities of the newest tokens of a text over all of it: float32 `[batch * heads, queryTokens, tokens]`, whose rows
 * sum to 1. A matrix of queries by tokens, for what cannot do without.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`, rotated.
 * @param keys float32 `[batch, kvHeads, tokens, dim]`, rotated, of the text from its first token on.
 */
export function attentionProbabilities(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  {scale, softCap, window: size, alibi, relativeBias: table}: Scoring,
): tf.Tensor3D {
  const [batch, heads, queryTokens, dim] = queries.shape;
  const [, kvHeads, tokens] = keys.shape;
  const rows = (heads / kvHeads) * queryTokens;
  // the query heads of a group are adjacent: one product for each key head
  const grouped = tf.reshape<tf.Rank.R4>(queries, [batch, kvHeads, rows, dim]);
  const products = batchedMatMul<tf.Tensor4D>(grouped, keys, {transposeB: true});
  const bias = alibi === true ? alibiBias(0, tokens, tokens - 1, [batch, kvHeads]) : undefined;
  const firstQuery = tokens - queryTokens;
  const relative = table && {table, firstQuery, positions: 0};
  const scores = scoresOf(products, {scale, softCap}, biasesOf({bias, relative}, rows, 0, tokens));
  const window = size === undefined ? undefined : {size, firstQuery, positions: 0};
  const visible = visibleTokens({firstQuery, window}, rows, queryTokens, 0, tokens)!;
  const p = tf.softmax(tf.where(visible, scores, tf.fill(scores.shape, -Infinity)));
  return tf.reshape(p, [batch * heads, queryTokens, tokens]);
}
