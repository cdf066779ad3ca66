import * as tf from '@tensorflow/tfjs';

/** `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`. */
export function splitHeads(x: tf.Tensor, heads: number): tf.Tensor4D {
  const [batch, tokens, columns] = x.shape as [number, number, number];
  const dim = columns / heads;
  if (tokens === 1) return tf.reshape(x, [batch, heads, 1, dim]); // nothing to move
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, dim]), [0, 2, 1, 3]);
}

/** `[batch, heads, tokens, dim]` to `[batch, tokens, heads * dim]`. */
export function joinHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, heads, tokens, dim] = x.shape;
  const moved = tokens === 1 ? x : tf.transpose(x, [0, 2, 1, 3]);
  return tf.reshape(moved, [batch, tokens, heads * dim]);
}
