import type * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, lowest, tensorflowTensor} from '../../backends/tensorflow_ops.js';
import {valueSums} from '../../encodings/tensorflow.js';
import {chunksOf, numbersPerToken, tilesOf} from '../../encodings/tiles_tensorflow.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import {groupedQueries, scorer} from './tensorflow_scores.js';
import type {AttendAttributes, AttendInputs} from './types.js';
import {firstVisible} from './visibility.js';

registerKernel('Attend', 'tensorflow', attendTensorflow);
registerKernel('AttendRotatedMean', 'tensorflow', attendTensorflow);

/**
 * `attend` by TensorFlow's ops. Tokens are read tile by tile, decoded on TensorFlow's device or multiplied as codes (see `keyProducts`); the
 * softmax runs over chunks of many tiles, since an op on a few rows takes as long as one on all.
 */
function attendTensorflow(inputs: KernelInputs<AttendInputs>, attributes: AttendAttributes): tf.TensorInfo {
  const {tokens, values, keys} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(keys, inputs.keyData);
  const rows = (heads / kvHeads) * queryTokens;
  const rebuilt = attributes.rotation === undefined ? 0 : dim;
  const perToken = numbersPerToken(batch * kvHeads, rows, [keys, values], rebuilt);
  const tiles = tilesOf(firstVisible(attributes, tokens), tokens, perToken, [keys, values]);
  return tensorflowTensor(ops => {
    const queries = groupedQueries(ops, inputs.queries, kvHeads);
    const scoresOf = scorer(ops, {queries, queryTokens, inputs, attributes});
    const {valueData, valueParams} = inputs;
    const params = valueParams && ops.of(valueParams);
    const sumsOf = valueSums(ops, rows, {data: ops.of(valueData), params, layout: values});
    let total: Sums | undefined;
    for (const chunk of chunksOf(tiles, batch * kvHeads * rows)) {
      total = withChunk(ops, total, scoresOf(chunk), weights => sumsOf(weights, chunk));
    }
    total ??= nothing(ops, [batch, kvHeads, rows], values.dim);
    const partial = ops.concat([total.output, total.max, total.sum], 3);
    return ops.reshape(partial, [batch, heads, queryTokens, values.dim + 2]);
  });
}

interface Sums {
  readonly output: Handle;
  readonly max: Handle;
  readonly sum: Handle;
}

function nothing(ops: TensorflowOps, shape: readonly number[], dim: number): Sums {
  const filled = (columns: number, value: number) => {
    const size = shape.reduce((a, b) => a * b, columns);
    return ops.floats(new Float32Array(size).fill(value), [...shape, columns]);
  };
  return {output: filled(dim, 0), max: filled(1, -Infinity), sum: filled(1, 0)};
}

/** The online softmax: rescales the sums so far to the new maximum, then adds the chunk. */
function withChunk(
  ops: TensorflowOps,
  total: Sums | undefined,
  scores: Handle,
  valuesBy: (weights: Handle) => Handle,
): Sums {
  const own = ops.max(scores, 3, true);
  const max = total === undefined ? own : ops.maximum(total.max, own);
  // if nothing is visible yet, -Infinity - (-Infinity) would be NaN: no score is below this
  const shift = ops.maximum(max, lowest);
  const weights = ops.exp(ops.sub(scores, shift));
  const [output, sum] = [valuesBy(weights), ops.sum(weights, 3, true)];
  if (total === undefined) return {output, max, sum};
  const rescale = ops.exp(ops.sub(total.max, shift));
  return {
    output: ops.add(ops.mul(total.output, rescale), output),
    max,
    sum: ops.add(ops.mul(total.sum, rescale), sum),
  };
}
