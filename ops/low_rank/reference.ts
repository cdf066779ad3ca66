import * as tf from '@tensorflow/tfjs';
import type {ExpandPartialInputs} from './index.js';

/** `project` in plain tfjs ops: the heads of a group are rows of one matrix a key head. */
export function projectReference({x, basis}: {x: tf.Tensor; basis: tf.Tensor}): tf.Tensor {
  const [batch, heads, tokens, dim] = x.shape as [number, number, number, number];
  const [, kvHeads, rank] = basis.shape as [number, number, number];
  const rows = tf.reshape(x, [batch, kvHeads, (heads / kvHeads) * tokens, dim]);
  return tf.reshape(tf.matMul(rows, basis, false, true), [batch, heads, tokens, rank]);
}

/** `expandPartial` in plain tfjs ops. */
export function expandPartialReference({partial, basis, mean, shift}: ExpandPartialInputs): tf.Tensor {
  const [batch, heads, tokens, columns] = partial.shape as [number, number, number, number];
  const ofHeads = basis ?? mean;
  const kvHeads = ofHeads?.shape[1] ?? heads;
  const rows = (heads / kvHeads) * tokens;
  const grouped = tf.reshape(partial, [batch, kvHeads, rows, columns]);
  const [latent, max, sum] = tf.split(grouped, [columns - 2, 1, 1], 3) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const expanded = basis === undefined ? latent : tf.matMul(latent, basis);
  const output = mean === undefined ? expanded : tf.add(expanded, tf.mul(sum, mean));
  const moved = shift === undefined ? max : tf.add(max, tf.reshape(shift, max.shape));
  return tf.reshape(tf.concat([output, moved, sum], 3), [batch, heads, tokens, output.shape[3]! + 2]);
}
