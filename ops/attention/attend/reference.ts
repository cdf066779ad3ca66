import * as tf from '@tensorflow/tfjs';
import {decodeTile} from '../../encodings/decode.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {scoresReference} from './stored_keys.js';
import type {AttendAttributes, AttendInputs, Partial} from './types.js';
import {firstVisible, visibleTokens} from './visibility.js';

/** Tokens decoded at a time: few enough that no dense copy of a cache ever exists. */
export const tileTokens = 512;

/** `attend` in plain tfjs ops: every backend has them. Differentiable if both encodings are dense and one tile is enough. */
export function attendReference(inputs: AttendInputs, attributes: AttendAttributes): Partial {
  const {tokens, values} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const rows = (heads / kvHeads) * queryTokens; // a group's query heads are adjacent: one matrix per key head
  const queries: tf.Tensor4D = tf.reshape(inputs.queries, [batch, kvHeads, rows, dim]);
  let total: Sums = {
    output: tf.zeros([batch, kvHeads, rows, values.dim]),
    max: tf.fill([batch, kvHeads, rows, 1], -Infinity),
    sum: tf.zeros([batch, kvHeads, rows, 1]),
  };
  for (let from = firstVisible(attributes, tokens); from < tokens; from += tileTokens) {
    const count = Math.min(tileTokens, tokens - from);
    const valueTile = decodeTile(values, inputs.valueData, inputs.valueParams, from, count);
    const scores = scoresReference(queries, inputs, attributes, from, count);
    const visible = visibleTokens(attributes, rows, queryTokens, from, count);
    total = addTile(
      total,
      visible ? tf.where(visible, scores, tf.fill(scores.shape, -Infinity)) : scores,
      valueTile,
    );
  }
  return tf.reshape(tf.concat([total.output, total.max, total.sum], 3), [
    batch,
    heads,
    queryTokens,
    values.dim + 2,
  ]);
}

type Sums = {output: tf.Tensor; max: tf.Tensor; sum: tf.Tensor};

/** The online softmax: rescales the sums so far to the new maximum, then adds the tile. */
function addTile(total: Sums, scores: tf.Tensor, values: tf.Tensor): Sums {
  const max = tf.maximum(total.max, tf.max(scores, 3, true));
  // if nothing is visible yet, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = tf.where(tf.greater(max, -Infinity), max, tf.zerosLike(max));
  const rescale = tf.exp(tf.sub(total.max, shift));
  const weights = tf.exp(tf.sub(scores, shift));
  return {
    output: tf.add(tf.mul(total.output, rescale), tf.matMul(weights, values)),
    max,
    sum: tf.add(tf.mul(total.sum, rescale), tf.sum(weights, 3, true)),
  };
}
