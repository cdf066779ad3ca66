import * as tf from '@tensorflow/tfjs';
import {visibleTokens} from '../attend/visibility.js';

/** What the forward pass took and gave; `logSums` float32 `[batch, heads, tokens, 1]`, `dy` the gradient of `output`. */
export type GradientInputs = {
  queries: tf.Tensor4D;
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
  output: tf.Tensor4D;
  logSums: tf.Tensor4D;
  dy: tf.Tensor4D;
};

/** `causalAttentionGradient` in plain tfjs ops, with the T x T matrix of one call. */
export function causalGradientReference(inputs: GradientInputs, {scale}: {scale: number}): tf.Tensor {
  const {queries, keys, values, output, dy} = inputs;
  const [batch, heads, tokens] = queries.shape;
  const kvHeads = keys.shape[1];
  // the query heads of a key head are rows of one matrix, which sums their share of dK and dV
  const rows = (heads / kvHeads) * tokens;
  const grouped = (x: tf.Tensor4D): tf.Tensor => tf.reshape(x, [batch, kvHeads, rows, x.shape[3]]);
  const q = grouped(queries);
  const dOut = grouped(dy);
  const scores = tf.mul(tf.matMul(q, keys, false, true), scale);
  const visible = visibleTokens({firstQuery: 0}, rows, tokens, 0, tokens)!;
  const p = tf.softmax(tf.where(visible, scores, tf.fill(scores.shape, -Infinity)));
  const d = tf.sum(tf.mul(dOut, grouped(output)), 3, true);
  const dScores = tf.mul(p, tf.sub(tf.matMul(dOut, values, false, true), d));
  const gradients = [
    tf.mul(tf.matMul(dScores, keys), scale),
    tf.mul(tf.matMul(dScores, q, true), scale),
    tf.matMul(p, dOut, true),
  ];
  return tf.concat(gradients.map(gradient => tf.reshape(gradient, [-1])));
}
