import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import {defineOp, runOp, type KernelInputs} from '../../run_op.js';
import type {KeyAttributes, KeyInputs, KeyRotation} from './types.js';

/**
 * What a mean of keys that is rotated to each token's position adds to scores. For a pair of channels with mean (m, n) and query (a, b)
 *
 *     (a, b) . R_p (m, n) = cos(p theta) (a m + b n) + sin(p theta) (b m - a n)
 *
 * so the score is the product of the angles' coefficients, two for each pair, and the row p of the rotation's tables.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`, rotated.
 * @param mean float32 `[batch, kvHeads, 1, dim]`.
 * @returns `angles` float32 `[batch, heads, queryTokens, 2 pairs]`, those of the cosines first; `rest` `[batch, heads, queryTokens, 1]`:
 *   what channels without a rotation add, if there are any.
 */
export function meanAngles(
  queries: tf.Tensor4D,
  mean: tf.Tensor4D,
  {cos, interleaved = false}: Pick<KeyRotation, 'cos' | 'interleaved'>,
): {angles: tf.Tensor4D; rest?: tf.Tensor4D} {
  const [batch, heads, queryTokens, dim] = queries.shape;
  const kvHeads = mean.shape[1];
  const pairs = cos.shape[1];
  const angles = runOp(meanAnglesOp, {queries, mean}, {pairs, interleaved});
  if (2 * pairs === dim) return {angles};
  const grouped: tf.Tensor4D = tf.reshape(queries, [batch, kvHeads, (heads / kvHeads) * queryTokens, dim]);
  const beyond = (x: tf.Tensor4D) => tf.slice(x, [0, 0, 0, 2 * pairs], [-1, -1, -1, -1]);
  const rest = tf.sum(tf.mul(beyond(grouped), beyond(mean)), 3, true);
  return {angles, rest: tf.reshape(rest, [batch, heads, queryTokens, 1])};
}

type AngleInputs = {queries: tf.Tensor4D; mean: tf.Tensor4D};

interface AngleAttributes {
  readonly pairs: number;
  readonly interleaved: boolean;
}

const meanAnglesOp = defineOp({
  name: 'MeanAngles',
  reference: meanAnglesReference,
  kernels: {wasm: meanAnglesWasm},
});

function meanAnglesReference(
  {queries, mean}: AngleInputs,
  {pairs, interleaved}: AngleAttributes,
): tf.Tensor4D {
  const [batch, heads, queryTokens, dim] = queries.shape;
  const kvHeads = mean.shape[1];
  const grouped: tf.Tensor4D = tf.reshape(queries, [batch, kvHeads, (heads / kvHeads) * queryTokens, dim]);
  const [a, b] = pairsOf(grouped, pairs, interleaved);
  const [m, n] = pairsOf(mean, pairs, interleaved);
  const ofCos = tf.add(tf.mul(a, m), tf.mul(b, n));
  const ofSin = tf.sub(tf.mul(b, m), tf.mul(a, n));
  return tf.reshape(tf.concat([ofCos, ofSin], 3), [batch, heads, queryTokens, 2 * pairs]);
}

function meanAnglesWasm(
  {queries, mean}: KernelInputs<AngleInputs>,
  {pairs, interleaved}: AngleAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, queryTokens, dim] = queries.shape;
  const kvHeads = mean.shape[1];
  const angles = heap.output([batch, heads, queryTokens, 2 * pairs], 'float32');
  heap.kernels.meanAngles(
    ...([heap.address(queries), heap.address(mean), heap.address(angles)] as const),
    ...([batch * kvHeads, (heads / kvHeads) * queryTokens, dim, pairs, interleaved ? 1 : 0] as const),
  );
  return angles;
}

/** The first and the second channels of the pairs that are rotated. */
function pairsOf(x: tf.Tensor4D, pairs: number, interleaved: boolean): [tf.Tensor4D, tf.Tensor4D] {
  const [batch, heads, rows] = x.shape;
  const rotated = tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, 2 * pairs]);
  const [first, second] = interleaved
    ? tf.unstack(tf.reshape(rotated, [batch, heads, rows, pairs, 2]), 4)
    : tf.split(rotated, 2, 3);
  return [first as tf.Tensor4D, second as tf.Tensor4D];
}

/** Cosines and sines of the positions of tokens `from .. from + count`: float32 `[batch or 1, kvHeads or 1, count, 2 pairs]`. */
export function anglesOfTokens(
  {cos, sin, positions}: Pick<KeyInputs, 'cos' | 'sin' | 'positions'>,
  {rotation}: KeyAttributes,
  from: number,
  count: number,
): tf.Tensor4D {
  const tables = tf.concat([cos!, sin!], 1);
  const columns = tables.shape[1];
  if (positions === undefined) {
    const run = tf.slice(tables, [rotation!.firstPosition + from, 0], [count, columns]);
    return tf.reshape(run, [1, 1, count, columns]);
  }
  const [batch, kvHeads, rows] = positions.shape as [number, number, number];
  const ofHeads = tf.reshape(positions, [batch, kvHeads, rows]);
  const taken = tf.reshape(tf.slice(ofHeads, [0, 0, from], [batch, kvHeads, count]), [-1]);
  return tf.reshape(tf.gather(tables, taken), [batch, kvHeads, count, columns]);
}
