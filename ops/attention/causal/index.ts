import * as tf from '@tensorflow/tfjs';
import {attend} from '../attend/index.js';
import {mergePartials} from '../merge_partials/index.js';
import {partialLogSum} from '../merge_partials/log_sum.js';
import {causalAttentionGradient} from './gradient.js';

/**
 * Causal scaled dot-product attention of a text over itself, without a cache:
 *
 *     out_i = sum_{j <= i} softmax_j(scale * q_i . k_j) v_j
 *
 * Grouped-query attention: `heads` is a multiple of `kvHeads` (Ainslie et al., 2023, arXiv 2305.13245). Differentiable in
 * all three; the backward pass recomputes the probabilities (Dao et al., 2022, arXiv 2205.14135). Error <= 2e-6 of the largest
 * value; for the gradient see `causalAttentionGradient`.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`
 * @param keys float32 `[batch, kvHeads, tokens, dim]`
 * @param values float32 `[batch, kvHeads, tokens, dimV]`
 * @param scale factor of the scores, usually 1 / sqrt(dim).
 * @returns float32 `[batch, heads, tokens, dimV]`
 * @throws InvalidArgumentError if shapes do not fit.
 */
export function causalAttention(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  scale: number,
): tf.Tensor4D {
  const tokens = keys.shape[2];
  const differentiable = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [q, k, v, save] = args as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc];
    const keyEncoding = {kind: 'dense', dim: k.shape[3], data: k} as const;
    const valueEncoding = {kind: 'dense', dim: v.shape[3], data: v} as const;
    const partials = [attend(q, keyEncoding, valueEncoding, {tokens, scale, firstQuery: 0})];
    const value = mergePartials(partials);
    save([q, k, v, value, partialLogSum(partials)]);
    return {
      value,
      gradFunc: (dy: tf.Tensor4D, saved: tf.Tensor[]) => {
        const [queries, keys, values, output, logSums] = saved as Saved;
        return causalAttentionGradient({queries, keys, values, output, logSums, dy}, scale);
      },
    };
  });
  return differentiable(queries, keys, values);
}

/** Queries, keys, values, output and log-sums. */
type Saved = [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
