import * as tf from '@tensorflow/tfjs';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {type Rotation, rotate} from '../../ops/rotate/index.js';
import type {DenseBlock, Segment} from './past.js';
import type {RopeTables} from './rope_tables.js';
import {dense} from './segments.js';

// Decodes stored tokens to float32, for changes of plan, truncation, keepers that score keys, and inspection. Attention reads encodings
// directly.

/** How keys are rotated, and the range of positions. */
export interface Rotated {
  /** Absent if the model has no rotary positions, or if keys are latents, which are rotated after they are rebuilt. */
  readonly rope?: RopeTables;
  /** All positions are below this. */
  readonly tokensSeen: number;
}

/** Returns tokens `from .. from + count` of a segment as dense values and dense keys rotated by their positions; without scores. */
export function decodeTokens(
  segment: Segment,
  rotated: Rotated,
  from = 0,
  count = segment.tokens - from,
): DenseBlock {
  return {
    keys: dense(decodeKeys(segment, rotated, from, count)),
    values: dense(decodeEncoding(segment.values, from, count)),
    tokens: count,
    positions: positionsFrom(segment, from, count),
  };
}

/** Returns the keys of tokens `from .. from + count` of a segment, rotated by their positions: float32 `[batch, kvHeads, count, dim]`. */
export function decodeKeys(segment: Segment, rotated: Rotated, from: number, count: number): tf.Tensor4D {
  const {keys} = segment;
  const positions = positionsFrom(segment, from, count);
  const stored = decodeEncoding(keys, from, count);
  const isUnrotated = keys.kind === 'lowRank' && keys.rotate === true && rotated.rope !== undefined;
  return isUnrotated
    ? rotateAt(stored, positions, rotated)
    : withRotatedMean(stored, keys, positions, rotated);
}

function positionsFrom({positions}: Segment, from: number, count: number): Segment['positions'] {
  return typeof positions === 'number'
    ? positions + from
    : tf.slice(positions, [0, 0, from, 0], [-1, -1, count, -1]);
}

function withRotatedMean(
  stored: tf.Tensor4D,
  keys: Segment['keys'],
  positions: Segment['positions'],
  rotated: Rotated,
): tf.Tensor4D {
  if (keys.kind !== 'lowRank' || keys.rotatedMean === undefined) return stored;
  return tf.add(stored, meanAt(keys.rotatedMean, stored.shape[2], positions, rotated));
}

/** Returns a mean `[batch, kvHeads, 1, dim]` rotated to the position of each of so many tokens. */
export function meanAt(
  mean: tf.Tensor4D,
  tokens: number,
  positions: Segment['positions'],
  rotated: Rotated,
): tf.Tensor4D {
  return rotateAt(tf.tile(mean, [1, 1, tokens, 1]), positions, rotated);
}

/** Returns keys rotated by their positions; unchanged if the model has no rotary positions. */
export function rotateAt(
  x: tf.Tensor4D,
  positions: Segment['positions'],
  {rope, tokensSeen}: Rotated,
): tf.Tensor4D {
  if (rope === undefined) return x;
  if (typeof positions === 'number') return rotate(x, rope.rotation(positions, x.shape[2]));
  return rotateByHead(x, positions, rope.upTo(tokensSeen));
}

/** Undoes the rotation of keys. */
export function unrotateAt(
  x: tf.Tensor4D,
  positions: Segment['positions'],
  {rope, tokensSeen}: Rotated,
): tf.Tensor4D {
  if (rope === undefined) return x;
  if (typeof positions === 'number') return rotate(x, rope.inverse(positions, x.shape[2]));
  return rotateByHead(x, positions, rope.inverse(0, tokensSeen));
}

/** Rotates keys whose positions differ from head to head: all tokens of all heads as one run. */
function rotateByHead(
  x: tf.Tensor4D,
  positions: tf.Tensor4D,
  {cos, sin, interleaved}: Rotation,
): tf.Tensor4D {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const rows: tf.Tensor1D = tf.cast(tf.reshape(positions, [-1]), 'int32');
  const rotation = {cos: tf.gather(cos, rows), sin: tf.gather(sin, rows), interleaved};
  return tf.reshape(rotate(tf.reshape(x, [1, 1, batch * kvHeads * tokens, dim]), rotation), x.shape);
}

/** Reads the positions of a segment's tokens: one list per head, or a single list if all heads hold the same run. */
export async function hostPositions({positions, tokens}: Segment): Promise<ArrayLike<number>[]> {
  if (typeof positions === 'number') return [Array.from({length: tokens}, (_, i) => positions + i)];
  const [batch, kvHeads, rows] = positions.shape;
  const numbers = await positions.data<'float32'>();
  return Array.from({length: batch * kvHeads}, (_, head) =>
    numbers.subarray(head * rows, head * rows + tokens),
  );
}
