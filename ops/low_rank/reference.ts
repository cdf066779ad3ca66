import * as tf from '@tensorflow/tfjs';
import {splitPartial} from '../attention/split_partial.js';

export type ProjectInputs = {x: tf.Tensor4D; basis: tf.Tensor4D};

export type ExpandPartialInputs = {
  partial: tf.Tensor4D;
  basis?: tf.Tensor4D;
  mean?: tf.Tensor4D;
  shift?: tf.Tensor4D;
};

/** `project` in plain tfjs ops: the heads of a group are rows of one matrix per key head. */
export function projectReference({x, basis}: ProjectInputs): tf.Tensor4D {
  const [batch, heads, tokens, dim] = x.shape;
  const [, kvHeads, rank] = basis.shape;
  const rows = tf.reshape(x, [batch, kvHeads, (heads / kvHeads) * tokens, dim]);
  return tf.reshape(tf.matMul(rows, basis, false, true), [batch, heads, tokens, rank]);
}

/** `expandPartial` in plain tfjs ops. */
export function expandPartialReference({partial, basis, mean, shift}: ExpandPartialInputs): tf.Tensor4D {
  const [batch, heads, tokens, columns] = partial.shape;
  const ofHeads = basis ?? mean;
  const kvHeads = ofHeads?.shape[1] ?? heads;
  const rows = (heads / kvHeads) * tokens;
  const grouped = tf.reshape<tf.Rank.R4>(partial, [batch, kvHeads, rows, columns]);
  const {output: latent, max, sum} = splitPartial(grouped);
  const expanded = basis === undefined ? latent : tf.matMul(latent, basis);
  const output = mean === undefined ? expanded : tf.add(expanded, tf.mul(sum, mean));
  const moved = shift === undefined ? max : tf.add(max, tf.reshape(shift, max.shape));
  return tf.reshape(tf.concat([output, moved, sum], 3), [batch, heads, tokens, output.shape[3]! + 2]);
}
