import * as tf from '@tensorflow/tfjs';
import {visibleTokens} from '../attend/visibility.js';
import {biasesOf} from '../attend/stored_keys.js';
import {sumsByDistance} from '../relative_bias.js';
import {type Scoring, scoresOf} from '../scoring.js';

/** What the forward pass took and gave; `logSums` float32 `[batch, heads, tokens, 1]`, `dy` the gradient of `output`. */
export type GradientInputs = {
  queries: tf.Tensor4D;
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
  output: tf.Tensor4D;
  logSums: tf.Tensor4D;
  dy: tf.Tensor4D;
  /** What was added to the scores of each token: float32 `[batch, kvHeads, tokens, 1]`. Default: nothing. */
  bias?: tf.Tensor4D | undefined;
  /** `ScoringOptions.relativeBias`. Default: none. */
  table?: tf.Tensor2D | undefined;
};

/** How scores were made, but for the bias. */
export type GradientAttributes = Pick<Scoring, 'scale' | 'window' | 'softCap'>;

/** `causalAttentionGradient` in plain tfjs ops, with the T x T matrix of one call. */
export function causalGradientReference(inputs: GradientInputs, attributes: GradientAttributes): tf.Tensor {
  const {queries, keys, values, output, logSums, dy, bias, table} = inputs;
  const {scale, softCap, window: size} = attributes;
  const [batch, heads, tokens] = queries.shape;
  const kvHeads = keys.shape[1];
  // the query heads of a key head are rows of one matrix, which sums their share of dK and dV
  const rows = (heads / kvHeads) * tokens;
  const grouped = (x: tf.Tensor4D): tf.Tensor => tf.reshape(x, [batch, kvHeads, rows, x.shape[3]]);
  const q = grouped(queries);
  const dOut = grouped(dy);
  const capped = scoresOf(tf.matMul<tf.Tensor4D>(q, keys, false, true), {scale, softCap});
  const relative = table && {table, firstQuery: 0, positions: 0};
  const biases = biasesOf({bias, relative}, rows, 0, tokens);
  const scores = biases === undefined ? capped : tf.add(capped, biases);
  const window = size === undefined ? undefined : {size, firstQuery: 0, positions: 0};
  const visible = visibleTokens({firstQuery: 0, window}, rows, tokens, 0, tokens)!;
  // not a softmax: the sums may be over more tokens than these
  const all = tf.exp(tf.minimum(tf.sub(scores, grouped(logSums)), 0));
  const p = tf.where(visible, all, tf.zerosLike(all));
  const d = tf.sum(tf.mul(dOut, grouped(output)), 3, true);
  const dCapped = tf.mul(p, tf.sub(tf.matMul(dOut, values, false, true), d));
  const dScores =
    softCap === undefined ? dCapped : tf.mul(dCapped, tf.sub(1, tf.square(tf.div(capped, softCap))));
  const gradients = [
    tf.mul(tf.matMul(dScores, keys), scale),
    tf.mul(tf.matMul(dScores, q, true), scale),
    tf.matMul(p, dOut, true),
    ...(table ? [sumsByDistance(tf.sum<tf.Tensor3D>(dCapped, 0), table.shape[1])] : []),
  ];
  return tf.concat(gradients.map(gradient => tf.reshape(gradient, [-1])));
}
