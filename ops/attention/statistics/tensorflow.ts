import type * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, tensorflowTensor} from '../../backends/tensorflow_ops.js';
import {chunksOf, numbersPerToken, tilesOf} from '../../encodings/tiles_tensorflow.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import {groupedQueries, scorer} from '../attend/tensorflow_scores.js';
import type {AttentionStatisticsAttributes, AttentionStatisticsInputs} from './types.js';

registerKernel('AttentionStatistics', 'tensorflow', attentionStatisticsTensorflow);

/** `attentionStatistics` by TensorFlow's ops, tile by tile. */
function attentionStatisticsTensorflow(
  inputs: KernelInputs<AttentionStatisticsInputs>,
  attributes: AttentionStatisticsAttributes,
): tf.TensorInfo {
  const {tokens, keys} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(keys, inputs.keyData);
  const group = heads / kvHeads;
  const rows = group * queryTokens;
  const rebuilt = attributes.rotation === undefined ? 0 : dim;
  const tiles = tilesOf(0, tokens, numbersPerToken(batch * kvHeads, rows, [keys], rebuilt), [keys]);
  return tensorflowTensor(ops => {
    const queries = groupedQueries(ops, inputs.queries, kvHeads);
    const scoresOf = scorer(ops, {queries, queryTokens, inputs, attributes});
    const logSums = ops.reshape(ops.of(inputs.logSum), [batch, kvHeads, rows, 1]);
    // if a query saw no token, none of its scores counts: +Infinity makes each probability 0
    const none = ops.lessEqual(logSums, -Infinity);
    const shifts = ops.select(none, ops.floats([Infinity], [1, 1, 1, 1]), logSums);
    if (tiles.length === 0) return ops.floats([], [batch, kvHeads, 0]);
    const parts = chunksOf(tiles, batch * kvHeads * rows).map(chunk => {
      const scores = scoresOf(chunk);
      const p = ops.exp(ops.minimum(ops.sub(scores, shifts), 0)); // a large score is rounded differently from the sum
      return statisticOf(
        ops,
        ops.reshape(p, [batch * kvHeads, group, queryTokens, scores.shape[3]!]),
        attributes,
      );
    });
    return ops.reshape(ops.concat(parts, 1), [batch, kvHeads, tokens]);
  });
}

/** Of probabilities `[heads, group, queryTokens, count]`: `[heads, count]`. */
function statisticOf(
  ops: TensorflowOps,
  p: Handle,
  {statistic, threshold}: AttentionStatisticsAttributes,
): Handle {
  const [heads, group, queryTokens, count] = p.shape as [number, number, number, number];
  if (statistic === 'mass') return ops.sum(ops.reshape(p, [heads, group * queryTokens, count]), 1);
  const least = ops.floats([threshold], [1, 1, 1]);
  const used = ops.cast(ops.run('GreaterEqual', [ops.max(p, 1), least]), 'float32');
  if (statistic === 'uses') return ops.sum(used, 1);
  const places = ops.floats(
    Array.from({length: queryTokens}, (_, query) => query + 1),
    [1, queryTokens, 1],
  );
  return ops.sub(ops.max(ops.mul(used, places), 1), 1);
}
