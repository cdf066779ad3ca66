import * as tf from '@tensorflow/tfjs';
import {tileTokens} from '../attend/reference.js';
import {scoresReference} from '../attend/stored_keys.js';
import {visibleTokens} from '../attend/visibility.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import type {AttentionStatisticsAttributes, AttentionStatisticsInputs} from './types.js';

/** `attentionStatistics` in plain tfjs ops, tile by tile. */
export function attentionStatisticsReference(
  inputs: AttentionStatisticsInputs,
  attributes: AttentionStatisticsAttributes,
): tf.Tensor3D {
  const {tokens} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const group = heads / kvHeads;
  const rows = group * queryTokens;
  const queries: tf.Tensor4D = tf.reshape(inputs.queries, [batch, kvHeads, rows, dim]);
  const logSums = tf.reshape(inputs.logSum, [batch, kvHeads, rows, 1]);
  // if a query saw no token, none of its scores counts: +Infinity makes each probability 0
  const shifts = tf.where(tf.greater(logSums, -Infinity), logSums, tf.fill(logSums.shape, Infinity));
  const tiles: tf.Tensor[] = [];
  for (let from = 0; from < tokens; from += tileTokens) {
    const count = Math.min(tileTokens, tokens - from);
    const scores = scoresReference(queries, inputs, attributes, from, count);
    const p = tf.exp(tf.minimum(tf.sub(scores, shifts), 0)); // a large score is rounded differently from the sum
    const visible = visibleTokens(attributes, rows, queryTokens, from, count);
    const masked = visible === undefined ? p : tf.where(visible, p, tf.zerosLike(p));
    tiles.push(statisticOf(tf.reshape(masked, [batch * kvHeads, group, queryTokens, count]), attributes));
  }
  if (tiles.length === 0) return tf.zeros([batch, kvHeads, 0]);
  return tf.reshape(tf.concat(tiles, 1), [batch, kvHeads, tokens]);
}

/** Of probabilities `[heads, group, queryTokens, count]`: `[heads, count]`. */
function statisticOf(p: tf.Tensor, {statistic, threshold}: AttentionStatisticsAttributes): tf.Tensor {
  if (statistic === 'mass') return tf.sum(p, [1, 2]);
  const largest = tf.max(p, 1);
  const used = tf.greaterEqual(largest, threshold);
  // not a cast of bool: on webgpu that keeps the buffer of integers and calls it float32
  if (statistic === 'uses') return tf.sum(tf.where(used, tf.onesLike(largest), tf.zerosLike(largest)), 1);
  const queryTokens = used.shape[1]!;
  const indices = tf.reshape(tf.range(0, queryTokens, 1, 'float32'), [1, queryTokens, 1]);
  return tf.max(tf.where(used, tf.mul(tf.onesLike(used), indices), tf.fill(used.shape, -1)), 1);
}
