import * as tf from '@tensorflow/tfjs';
import {linear} from '../ops/linear/index.js';

/** `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`. */
export function splitHeads(x: tf.Tensor, heads: number): tf.Tensor4D {
  const [batch, tokens, columns] = x.shape as [number, number, number];
  const dim = columns / heads;
  if (tokens === 1) return tf.reshape(x, [batch, heads, 1, dim]); // nothing to move
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, dim]), [0, 2, 1, 3]);
}

/** `[batch, heads, tokens, dim]` to `[batch, tokens, heads * dim]`. */
function joinHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, heads, tokens, dim] = x.shape;
  const moved = tokens === 1 ? x : tf.transpose(x, [0, 2, 1, 3]);
  return tf.reshape(moved, [batch, tokens, heads * dim]);
}

/** Weights of a projection: `[in, out]`, and a bias `[out]` or none. */
export interface Projection {
  readonly kernel: tf.Tensor;
  readonly bias: tf.Tensor | undefined;
}

/** `x W + b` of x `[batch, tokens, in]`, split into heads: `[batch, heads, tokens, out / heads]`. */
export function toHeads(x: tf.Tensor, heads: number, {kernel, bias}: Projection): tf.Tensor4D {
  const [batch, tokens] = x.shape as [number, number];
  if (tokens !== 1) return splitHeads(linear(x, kernel, {bias}), heads);
  return linear(x, kernel, {bias, shape: [batch, heads, 1, kernel.shape[1]! / heads]}) as tf.Tensor4D;
}

/** `x W + b` of x `[batch, heads, tokens, dim]` with its heads joined: `[batch, tokens, out]`. */
export function fromHeads(x: tf.Tensor4D, {kernel, bias}: Projection): tf.Tensor {
  const [batch, , tokens] = x.shape;
  if (tokens !== 1) return linear(joinHeads(x), kernel, {bias});
  return linear(x, kernel, {bias, shape: [batch, 1, kernel.shape[1]!]}); // nothing to move
}
