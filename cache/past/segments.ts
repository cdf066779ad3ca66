import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {
  type DenseEncoding,
  type Encoding,
  headsOf,
  mapTensors,
  bareTensors,
  tensorsOf,
} from '../../ops/encodings/encoding.js';
import type {DenseBlock, DenseSegment, Past, Segment} from './past.js';

// Appends, joins and splits segments. All functions are pure, inside the caller's tidy; the old past stays readable.

/** Tokens that are moved at once to amortise the cost, unless a codec needs larger blocks. */
export const moveTokens = 16;

/**
 * Appends fresh dense tokens to the recent ones in amortised O(fresh tokens). The buffer grows by a sixteenth, so spare capacity stays
 * small and a token is copied about sixteen times in all. It does not grow beyond `expectedTokens` before the text does.
 */
export function appendDense(
  recent: DenseSegment | undefined,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  start: number,
  expectedTokens?: number,
): DenseSegment {
  const fresh = {keys: dense(keys), values: dense(values), tokens: keys.shape[2], positions: start};
  // scores of fresh tokens come with the next observation: see observe
  return {...appendSegment(recent, fresh, expectedTokens), scores: recent?.scores} as DenseSegment;
}

/** Appends tokens to a segment stored by the same codecs. */
export function appendSegment(
  segment: Segment | undefined,
  fresh: Segment,
  expectedTokens?: number,
): Segment {
  const at = segment?.tokens ?? 0;
  const tokens = at + fresh.tokens;
  const capacity = grownCapacity(tokens, expectedTokens);
  return {
    keys: appendEncoding(segment?.keys, fresh.keys, at, capacity),
    values: appendEncoding(segment?.values, fresh.values, at, capacity),
    tokens,
    positions: joinedPositions(segment, fresh, capacity),
    scores: joinedNumbers(segment, fresh, 'scores'),
    ...((segment?.bias ?? fresh.bias) && {bias: joinedNumbers(segment, fresh, 'bias')}),
  };
}

function appendEncoding(
  encoding: Encoding | undefined,
  fresh: Encoding,
  at: number,
  capacity: number,
): Encoding {
  const buffers = encoding && bareTensors(encoding);
  return mapTensors(fresh, (tensor, name, {tokensPerRow}) => {
    const buffer = buffers?.[name];
    if (tokensPerRow === Infinity) return buffer ?? tensor; // shared by all tokens, such as a basis
    return append(buffer, tensor, at / tokensPerRow, Math.ceil(capacity / tokensPerRow));
  });
}

/** The positions of both segments: a number as long as the tokens are a run without gaps. */
function joinedPositions(
  segment: Segment | undefined,
  fresh: Segment,
  capacity: number,
): Segment['positions'] {
  const at = segment?.tokens ?? 0;
  if (segment === undefined || at === 0) {
    return typeof fresh.positions === 'number'
      ? fresh.positions
      : append(undefined, fresh.positions, 0, capacity);
  }
  const {positions} = segment;
  if (typeof positions === 'number' && fresh.positions === positions + at) return positions;
  const before = typeof positions === 'number' ? positionsOf(segment) : positions;
  return append(before, positionsOf(fresh), at, capacity);
}

/** The scores, or the biases, of both segments; missing ones are 0. */
function joinedNumbers(
  segment: Segment | undefined,
  fresh: Segment,
  which: 'scores' | 'bias',
): tf.Tensor4D | undefined {
  if (segment === undefined || segment.tokens === 0) return fresh[which];
  // fresh scores come with the next observation
  if (fresh[which] === undefined && (which === 'scores' || segment.bias === undefined)) return segment[which];
  const {batch, kvHeads} = headsOf(segment.keys);
  const numbersOf = (of: Segment): tf.Tensor4D => of[which] ?? tf.zeros([batch, kvHeads, of.tokens, 1]);
  return tf.concat([numbersOf(segment), numbersOf(fresh)], 2);
}

/** The fewest spare tokens. Few, because the spare capacity of a short text should not outweigh its compression. */
const spareTokens = 4;

/** Rows of a buffer that has to grow to hold so many tokens. */
export function grownCapacity(tokens: number, expectedTokens = Infinity): number {
  const grown = tokens + Math.max(spareTokens, Math.ceil(tokens / 16));
  return tokens <= expectedTokens ? Math.min(grown, expectedTokens) : grown;
}

/** Splits the oldest `tokens` tokens off `recent` and returns them, with their scores, as a block to be stored. */
export function splitOldest(past: Past, tokens: number): {past: Past; block: DenseSegment} {
  const {recent} = past;
  const scores = recent.scores && tf.slice(recent.scores, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  const block = {...firstTokens(recent, tokens), scores} as DenseSegment;
  return {past: {...past, recent: withoutOldest(recent, tokens)}, block};
}

/**
 * Moves the first `sinks` tokens of the text into the dense segment `held.sinks`. Does nothing if they are no longer in `recent`.
 */
export function keepSinks(past: Past, sinks: number): Past {
  if (sinks === 0 || past.recent.positions > 0) return past;
  const {past: rest, block} = splitOldest(past, Math.min(sinks, past.recent.tokens));
  return {...rest, held: {sinks: {...block, scores: undefined}, ...rest.held}};
}

/**
 * Returns a dense run without its oldest tokens, in a new buffer. Its spare capacity is the number of removed tokens, at most
 * `moveTokens`: if single tokens are appended and `moveTokens` are removed at a time, its size never changes.
 */
export function withoutOldest(recent: DenseSegment, tokens: number): DenseSegment {
  const left = recent.tokens - tokens;
  const rows = Math.max(left, 1); // at least one row, because tensors must not be empty
  const capacity = left + Math.min(tokens, moveTokens);
  const rest = ({data}: DenseEncoding): DenseEncoding =>
    dense(
      append(
        undefined,
        tf.slice(data, [0, 0, Math.max(0, recent.tokens - rows), 0], [-1, -1, rows, -1]),
        0,
        capacity,
      ),
    );
  const {scores} = recent;
  return {
    keys: rest(recent.keys),
    values: rest(recent.values),
    tokens: left,
    positions: recent.positions + tokens,
    scores: scores && tf.slice(scores, [0, 0, tokens, 0], [-1, -1, left, -1]),
  };
}

/**
 * Returns a segment without its first tokens, in new buffers with room for as many as were removed: if as many are appended as are removed
 * at a time, its size never changes.
 * @param tokens fewer than there are, a multiple of `blockTokensOf(segment)`.
 */
export function withoutFirst(segment: Segment, tokens: number): Segment {
  const left = segment.tokens - tokens;
  const rest = (tensor: tf.Tensor4D, tokensPerRow: number): tf.Tensor4D => {
    const rows = rowsFrom(tensor, tokens / tokensPerRow, left / tokensPerRow);
    return append(undefined, rows, 0, segment.tokens / tokensPerRow);
  };
  const restOf = (encoding: Encoding) =>
    mapTensors(encoding, (tensor, _, {tokensPerRow}) =>
      tokensPerRow === Infinity ? tensor : rest(tensor, tokensPerRow),
    );
  const {keys, values, positions, scores, bias} = segment;
  return {
    keys: restOf(keys),
    values: restOf(values),
    tokens: left,
    positions: typeof positions === 'number' ? positions + tokens : rest(positions, 1),
    ...(scores && {scores: tf.slice(scores, [0, 0, tokens, 0], [-1, -1, left, -1])}),
    ...(bias && {bias: tf.slice(bias, [0, 0, tokens, 0], [-1, -1, left, -1])}),
  };
}

/** Returns a copy of a run of rows of each head. Exact for codes: tfjs' slice moves int32 through float32 on webgpu. */
export function rowsFrom(tensor: tf.Tensor4D, from: number, rows: number): tf.Tensor4D {
  const heads = tensor.shape[0] * tensor.shape[1];
  return gatherRows(
    tensor,
    Int32Array.from({length: heads * rows}, (_, i) => from + (i % rows)),
  );
}

/** Returns the oldest `tokens` tokens of a block, in new tensors; without their scores. */
export function firstTokens({keys, values, positions, bias}: DenseBlock, tokens: number): DenseBlock {
  const first = (x: tf.Tensor4D): tf.Tensor4D => tf.slice(x, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  return {
    keys: dense(first(keys.data)),
    values: dense(first(values.data)),
    tokens,
    positions: typeof positions === 'number' ? positions : first(positions),
    ...(bias && {bias: first(bias)}),
  };
}

/** Returns the newest `count` tokens of a block, in new tensors; without their scores. */
export function lastTokens({keys, values, tokens, positions, bias}: DenseBlock, count: number): DenseBlock {
  const last = (x: tf.Tensor4D): tf.Tensor4D => tf.slice(x, [0, 0, tokens - count, 0], [-1, -1, count, -1]);
  return {
    keys: {...keys, data: last(keys.data)},
    values: {...values, data: last(values.data)},
    tokens: count,
    positions: typeof positions === 'number' ? positions + tokens - count : last(positions),
    ...(bias && {bias: last(bias)}),
  };
}

/** Returns the positions of a segment's tokens for each head: float32 `[batch, kvHeads, tokens, 1]`. */
export function positionsOf({positions, tokens, keys}: Segment): tf.Tensor4D {
  if (typeof positions === 'number') return runPositions(positions, tokens, keys);
  return positions.shape[2] === tokens ? positions : tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]);
}

/** Returns the positions of a run without gaps for each head: float32 `[batch, kvHeads, tokens, 1]`. */
function runPositions(first: number, tokens: number, encoding: Encoding): tf.Tensor4D {
  const {batch, kvHeads} = headsOf(encoding);
  return tf.tile(tf.reshape(tf.range(first, first + tokens), [1, 1, tokens, 1]), [batch, kvHeads, 1, 1]);
}

/** Returns the fewest tokens that can be copied without decoding: the least common multiple of the tokens per row of all tensors. */
export function blockTokensOf({keys, values}: Pick<Segment, 'keys' | 'values'>): number {
  return [keys, values]
    .flatMap(encoding => Object.values(tensorsOf(encoding)).map(({tokensPerRow}) => tokensPerRow))
    .filter(Number.isFinite)
    .reduce(leastCommonMultiple, 1);
}

/**
 * Returns the fewest tokens that stay or go together: 1 if single ones can be gathered, though perhaps only a multiple of `blockTokensOf`
 * of them.
 */
export function inseparableTokensOf(segment: Pick<Segment, 'keys' | 'values'>): number {
  const {keys, values} = segment;
  const together = [keys, values]
    .flatMap(encoding => Object.values(tensorsOf(encoding)))
    .some(
      ({tokensPerRow, areApart}) => Number.isFinite(tokensPerRow) && tokensPerRow > 1 && areApart !== true,
    );
  return together ? blockTokensOf(segment) : 1;
}

/** Wraps float32 `[batch, kvHeads, tokens, dim]` as an encoding. */
export function dense(data: tf.Tensor4D): DenseEncoding {
  return {kind: 'dense', dim: data.shape[3], data};
}

export function leastCommonMultiple(a: number, b: number): number {
  const gcd = (x: number, y: number): number => (y === 0 ? x : gcd(y, x % y));
  return (a / gcd(a, b)) * b;
}

/** Returns the largest multiple of `block` that is at most `tokens`; 0 if `tokens` is negative. */
export function wholeBlocks(tokens: number, block: number): number {
  return Math.max(0, Math.floor(tokens / block)) * block;
}
