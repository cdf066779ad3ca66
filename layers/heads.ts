import * as tf from '@tensorflow/tfjs';
import {type LinearOptions, type LinearProduct, linear, linears} from '../ops/linear/index.js';
import {rmsNorm} from '../ops/rms_norm/index.js';
import {outputsOf} from '../ops/weights/matrix.js';

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

/** A projection, and the heads that its outputs are split into. */
export interface HeadProjection extends Omit<LinearProduct, 'shape'> {
  readonly heads: number;
  /** A root mean square norm of the outputs: each run of them that is as long as `gain` is normalised. Default: none. */
  readonly norm?: {readonly gain: tf.Tensor; readonly epsilon: number} | undefined;
}

/** `x W + b` of x `[batch, tokens, in]` for each projection, normalised and split into heads: `[batch, heads, tokens, out / heads]`. */
export function toHeads(
  x: tf.Tensor,
  projections: readonly HeadProjection[],
  options: Pick<LinearOptions, 'activations'> = {},
): tf.Tensor4D[] {
  const [batch, tokens] = x.shape as [number, number];
  if (tokens !== 1) {
    return linears(x, projections, options).map((y, i) => {
      const {heads, norm} = projections[i]!;
      return splitHeads(normalised(y, norm), heads);
    });
  }
  const products = projections.map(({heads, matrix, bias}) => {
    return {matrix, bias, shape: [batch, heads, 1, outputsOf(matrix) / heads]};
  });
  // of one token the heads follow each other, as in the projection's output
  return linears(x, products, options).map((y, i) => normalised(y, projections[i]!.norm) as tf.Tensor4D);
}

function normalised(y: tf.Tensor, norm: HeadProjection['norm']): tf.Tensor {
  if (norm === undefined) return y;
  const {gain, epsilon} = norm;
  return tf.reshape(rmsNorm(tf.reshape(y, [-1, gain.size]), gain, epsilon), y.shape);
}

/** `x W + b (+ residual)` of x `[batch, heads, tokens, dim]` with its heads joined: `[batch, tokens, out]`. */
export function fromHeads(
  x: tf.Tensor4D,
  {matrix, bias}: LinearProduct,
  options: Pick<LinearOptions, 'activations' | 'residual'> = {},
): tf.Tensor {
  const [batch, , tokens] = x.shape;
  if (tokens !== 1) return linear(joinHeads(x), matrix, {bias, ...options});
  return linear(x, matrix, {bias, shape: [batch, 1, outputsOf(matrix)], ...options}); // nothing to move
}
