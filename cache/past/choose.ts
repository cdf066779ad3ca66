import * as tf from '@tensorflow/tfjs';
import {headsOf} from '../../ops/encodings/encoding.js';
import {gatherBlocks} from '../../ops/gather_tokens/index.js';
import type {Segment} from './past.js';
import {blockTokensOf, dense, inseparableTokensOf, positionsOf} from './segments.js';

// Some tokens of a segment, chosen for each head and gathered without decoding, in the order of the segment.

/** Returns the `kept` tokens of the highest scores, which are float32 `[batch, kvHeads, tokens, 1]`. Tokens that share scales stay together. */
export function bestOf(segment: Segment, scores: tf.Tensor4D, kept: number): Segment {
  if (kept === 0) return {...segment, tokens: 0};
  const {order, block} = ranked(segment, scores, kept);
  return gathered(segment, ascending(order), block);
}

/** Returns the tokens of the lowest scores, and the others. Both are some: a multiple of `blockTokensOf(segment)`. */
export function splitByScore(
  segment: Segment,
  scores: tf.Tensor4D,
  lowest: number,
): {lowest: Segment; rest: Segment} {
  const {order, block} = ranked(segment, scores, segment.tokens);
  const best = (segment.tokens - lowest) / block;
  const [ofRest, ofLowest] = tf.split<tf.Tensor3D>(order, [best, lowest / block], 2);
  return {
    rest: gathered(segment, ascending(ofRest!), block),
    lowest: gathered(segment, ascending(ofLowest!), block),
  };
}

/** Tokens of one segment with their attention, float32 `[batch, kvHeads, tokens, 1]`. */
export interface Weighed {
  readonly segment: Segment;
  readonly mass: tf.Tensor4D;
}

/** Returns the `kept` tokens of the highest scores, and the others. Both are some. */
export function partedByScore(
  {segment, mass}: Weighed,
  scores: tf.Tensor4D,
  kept: number,
): {kept: Weighed; evicted: Weighed} {
  const {order, block} = ranked(segment, scores, segment.tokens);
  const parts = tf.split<tf.Tensor3D>(order, [kept / block, (segment.tokens - kept) / block], 2);
  const [ofKept, ofEvicted] = parts.map(indices => {
    const rows = ascending(indices);
    return {segment: gathered(segment, rows, block), mass: rowsOf(mass, rows, block)};
  }) as [Weighed, Weighed];
  return {kept: ofKept, evicted: ofEvicted};
}

/**
 * The indices of the blocks that hold the `count` tokens of the highest scores, these first, as float32; blocks are of inseparable tokens.
 * (TensorFlow has no kernels that cut int32 on a GPU.)
 */
function ranked(segment: Segment, scores: tf.Tensor4D, count: number): {order: tf.Tensor3D; block: number} {
  const block = inseparableTokensOf(segment);
  const [batch, kvHeads, tokens] = scores.shape;
  const ofBlocks = tf.sum<tf.Tensor3D>(tf.reshape(scores, [batch, kvHeads, tokens / block, block]), 3);
  return {order: tf.cast(tf.topk(ofBlocks, count / block).indices, 'float32'), block};
}

/** The newest `kept` tokens of a run without gaps, in whole blocks. @param first the position of its first token. */
export function newestOf(segment: Segment, kept: number, first: number): Segment {
  if (kept === 0) return {...segment, tokens: 0};
  const block = blockTokensOf(segment);
  const {batch, kvHeads} = headsOf(segment.keys);
  const [from, blocks] = [(segment.tokens - kept) / block, kept / block];
  const rows = Int32Array.from({length: batch * kvHeads * blocks}, (_, i) => from + (i % blocks));
  const indices = tf.tensor3d(rows, [batch, kvHeads, blocks], 'int32');
  return {...blocksOf(segment, indices, block), positions: first + segment.tokens - kept};
}

function gathered(segment: Segment, rows: tf.Tensor3D, block: number): Segment {
  return blocksOf({...segment, positions: positionsOf(segment)}, rows, block);
}

/** As int32, from indices as float32. */
function ascending(indices: tf.Tensor3D): tf.Tensor3D {
  const falling = tf.topk<tf.Tensor3D>(indices, indices.shape[2]).values;
  return tf.cast(tf.reverse(falling, 2), 'int32');
}

/** The blocks of a segment at `indices`, int32 `[batch, kvHeads, blocks]`. */
function blocksOf(segment: Segment, indices: tf.Tensor3D, block: number): Segment {
  const {keys, values, positions, scores, bias} = segment;
  const rows = (x: tf.Tensor4D) => rowsOf(x, indices, block);
  return {
    keys: gatherBlocks(keys, indices, block),
    values: gatherBlocks(values, indices, block),
    tokens: indices.shape[2] * block,
    positions: typeof positions === 'number' ? positions : rows(positions),
    ...(scores && {scores: rows(scores)}),
    ...(bias && {bias: rows(bias)}),
  };
}

/** The same blocks of what goes with each token, `[batch, kvHeads, tokens, columns]`. */
const rowsOf = (x: tf.Tensor4D, indices: tf.Tensor3D, block: number): tf.Tensor4D =>
  gatherBlocks(dense(x), indices, block).data;
