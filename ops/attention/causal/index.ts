import * as tf from '@tensorflow/tfjs';
import {attend} from '../attend/index.js';
import {mergePartials} from '../merge_partials/index.js';
import {partialLogSum} from '../merge_partials/log_sum.js';
import type {Scoring} from '../scoring.js';
import {causalAttentionGradient} from './gradient.js';
import {ownScores} from './own_scores.js';

/**
 * Causal scaled dot-product attention of a text over itself, without a cache:
 *
 *     out_i = sum_j softmax_j(s_ij) v_j    over i - window < j <= i, with the scores s_ij of `Scoring`
 *
 * Grouped-query attention: `heads` is a multiple of `kvHeads` (Ainslie et al., 2023, arXiv 2305.13245). Differentiable in
 * all three, and in `relativeBias`; the backward pass recomputes the probabilities (Dao et al., 2022, arXiv 2205.14135). Error <= 2e-6 of the largest
 * value; for the gradient see `causalAttentionGradient`.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`
 * @param keys float32 `[batch, kvHeads, tokens, dim]`
 * @param values float32 `[batch, kvHeads, tokens, dimV]`
 * @param scoring how scores are made; `{scale}` in most models.
 * @returns float32 `[batch, heads, tokens, dimV]`
 * @throws InvalidArgumentError if shapes do not fit.
 */
export function causalAttention(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  scoring: Scoring,
): tf.Tensor4D {
  const differentiable = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = args.pop() as tf.GradSaveFunc;
    const [q, k, v, relativeBias] = args as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor2D?];
    const keyEncoding = {kind: 'dense', dim: k.shape[3], data: k} as const;
    const valueEncoding = {kind: 'dense', dim: v.shape[3], data: v} as const;
    const options = ownScores(k, {...scoring, relativeBias});
    const partials = [attend(q, keyEncoding, valueEncoding, options)];
    const value = mergePartials(partials);
    const {bias} = options;
    save([
      q,
      k,
      v,
      value,
      partialLogSum(partials),
      ...(relativeBias ? [relativeBias] : []),
      ...(bias ? [bias] : []),
    ]);
    return {
      value,
      gradFunc: (dy: tf.Tensor4D, saved: tf.Tensor[]) => {
        const [queries, keys, values, output, logSums, ...beside] = saved as Saved;
        const table = relativeBias && (beside.shift() as tf.Tensor2D);
        const [biases] = beside as tf.Tensor4D[];
        return causalAttentionGradient(
          {queries, keys, values, output, logSums, dy, table, bias: biases},
          scoring,
        );
      },
    };
  });
  const {relativeBias} = scoring;
  return differentiable(queries, keys, values, ...(relativeBias ? [relativeBias] : []));
}

/** Queries, keys, values, output and log-sums; then the table of relative biases, and biases of tokens, if there are any. */
type Saved = [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, ...tf.Tensor[]];
