import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import {
  type DenseEncoding,
  type Encoding,
  headsOf,
  mapTensors,
  tensorsOf,
} from '../../ops/encodings/encoding.js';
import {rotate} from '../../ops/rotate/index.js';
import type {Codec} from '../codec.js';
import type {DenseSegment, Past, Segment} from './past.js';
import type {RopeTables} from './rope_tables.js';

// The mechanics that policies share: taking tokens in, sealing them, dropping them. All pure, inside the caller's tidy;
// the old past stays readable throughout.

/** Codecs of both sides of a segment. */
export interface SideCodecs {
  readonly keys: Codec;
  readonly values: Codec;
}

/** What sealing needs of a step's context. */
export interface SealContext {
  readonly expectedTokens?: number;
  readonly rope?: RopeTables;
}

/** Tokens that wait until this many move at once, so that the cost of a move is shared; fewer where a budget is smaller. */
export const moveTokens = 16;

/**
 * Takes fresh dense tokens in behind those that are there: O(fresh tokens), amortised. The buffer grows by a sixteenth, so
 * that spare room stays small and a token is copied sixteen times at most, in all; never beyond `expectedTokens`.
 */
export function appendDense(
  recent: DenseSegment | undefined,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  start: number,
  expectedTokens?: number,
): DenseSegment {
  const fresh = {keys: dense(keys), values: dense(values), tokens: keys.shape[2], positions: start};
  return appendSegment(recent, fresh, expectedTokens) as DenseSegment;
}

/** Joins two runs of tokens stored by the same codecs: the later one is written behind the earlier one. */
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
    positions: appendPositions(segment, fresh, at, capacity),
    ...(segment?.scores && {scores: segment.scores}), // those of fresh tokens come with the next observation
  };
}

function appendEncoding(
  encoding: Encoding | undefined,
  fresh: Encoding,
  at: number,
  capacity: number,
): Encoding {
  const buffers = encoding === undefined ? {} : tensorsOf(encoding);
  return mapTensors(fresh, (tensor, name, tokensPerRow) => {
    const buffer = buffers[name]?.tensor;
    if (tokensPerRow === Infinity) return buffer ?? tensor; // shared by all tokens, such as a basis
    return append(buffer, tensor, at / tokensPerRow, Math.ceil(capacity / tokensPerRow));
  });
}

function appendPositions(
  segment: Segment | undefined,
  {positions}: Segment,
  at: number,
  capacity: number,
): Segment['positions'] {
  const former = at === 0 ? undefined : segment?.positions;
  if (typeof positions === 'number') return (former as number | undefined) ?? positions;
  return append(former as tf.Tensor4D | undefined, positions, at, capacity);
}

/** A short text has spare room for a few tokens, or it would take more than without any compression. */
const spareTokens = 4;

function grownCapacity(tokens: number, expectedTokens = Infinity): number {
  const grown = tokens + Math.max(spareTokens, Math.ceil(tokens / 16));
  return tokens <= expectedTokens ? Math.min(grown, expectedTokens) : grown;
}

/** How many of `tokens` may leave so that at least `residual` stay: whole blocks of both codecs, and no few. */
export function sealable(tokens: number, residual: number, {keys, values}: SideCodecs): number {
  const block = leastCommonMultiple(keys.blockTokens, values.blockTokens);
  const move = block * Math.ceil(moveTokens / block);
  return Math.max(0, Math.floor((tokens - residual) / move)) * move;
}

/**
 * How many tokens more than necessary go when a budget is full, so that a move is not due at each step: less than a
 * sixteenth of the budget, so that one that is small is used whole.
 */
export function earlyTokens(budget: number): number {
  return Math.min(moveTokens, Math.ceil(budget / 16)) - 1;
}

/**
 * Whether so many tokens make a beginning: what a run shares beside its tokens must not take more than they save. Asked for a
 * third of their numbers, since latents are half of them and more.
 */
export function paysFor(tokens: number, dim: number, sharedNumbers: number): boolean {
  return tokens * dim >= 3 * sharedNumbers;
}

/**
 * Moves the `tokens` oldest tokens of `recent` into the held segment `old`, encoded once; `tokens` is a multiple of both
 * codecs' blocks. The first of them wait until they pay for what their run shares.
 */
export function seal(past: Past, tokens: number, codecs: SideCodecs, context: SealContext): Past {
  if (tokens <= 0) return past;
  const {recent, held, events} = past;
  const {old} = held;
  const pays = (codec: Codec, {dim}: DenseEncoding) => paysFor(tokens, dim, codec.sharedNumbers?.(dim) ?? 0);
  if (old === undefined && !(pays(codecs.keys, recent.keys) && pays(codecs.values, recent.values)))
    return past;
  const sealed: Segment = {
    keys: encodeKeys(
      firstTokens(recent.keys, tokens),
      recent.positions,
      codecs.keys,
      old?.keys,
      context.rope,
    ),
    values: codecs.values.encode(firstTokens(recent.values, tokens), old?.values),
    tokens,
    positions: recent.positions,
  };
  return {
    ...past,
    held: {...held, old: appendSegment(old, sealed, context.expectedTokens)},
    recent: withoutOldest(recent, tokens),
    events: {...events, seals: events.seals + 1},
  };
}

/** Encodes rotated keys of a run without gaps; a codec that stores keys before their rotation gets them turned back. */
export function encodeKeys(
  keys: tf.Tensor4D,
  start: number,
  codec: Codec,
  like: Encoding | undefined,
  rope: RopeTables | undefined,
): Encoding {
  if (codec.unrotated !== true || rope === undefined) return codec.encode(keys, like);
  const encoding = codec.encode(rotate(keys, rope.inverse(start, keys.shape[2])), like);
  return encoding.kind === 'lowRank' ? {...encoding, rotate: true} : encoding;
}

/**
 * Moves the first `sinks` tokens of the text into a dense segment of their own, once they would leave `recent`; nothing
 * where they left it before (under another plan, or into that segment).
 */
export function keepSinks(past: Past, sinks: number): Past {
  const {recent} = past;
  if (sinks === 0 || recent.positions > 0) return past;
  const tokens = Math.min(sinks, recent.tokens);
  const segment: DenseSegment = {
    keys: dense(firstTokens(recent.keys, tokens)),
    values: dense(firstTokens(recent.values, tokens)),
    tokens,
    positions: recent.positions,
  };
  return {...past, held: {sinks: segment, ...past.held}, recent: withoutOldest(recent, tokens)};
}

/**
 * A dense run without its oldest tokens, in a buffer of its own. It has room for as many as went: where tokens come one by
 * one and `moveTokens` go at a time, its size stays the same for ever.
 */
export function withoutOldest(recent: DenseSegment, tokens: number): DenseSegment {
  const left = recent.tokens - tokens;
  const rows = Math.max(left, 1); // a tensor has a row at least
  const capacity = left + Math.min(tokens, moveTokens);
  const rest = ({data}: DenseEncoding): DenseEncoding =>
    dense(
      append(undefined, tf.slice(data, [0, 0, recent.tokens - rows, 0], [-1, -1, rows, -1]), 0, capacity),
    );
  const {scores} = recent;
  return {
    keys: rest(recent.keys),
    values: rest(recent.values),
    tokens: left,
    positions: recent.positions + tokens,
    ...(scores && {scores: tf.slice(scores, [0, 0, tokens, 0], [-1, -1, left, -1])}),
  };
}

/** The oldest tokens of a dense encoding, as a tensor of their own. */
export function firstTokens({data}: DenseEncoding, tokens: number): tf.Tensor4D {
  return tf.slice(data, [0, 0, 0, 0], [-1, -1, tokens, -1]);
}

/** The positions of a run without gaps, head by head: float32 `[batch, kvHeads, tokens, 1]`. */
export function runPositions(first: number, tokens: number, encoding: Encoding): tf.Tensor4D {
  const {batch, kvHeads} = headsOf(encoding);
  return tf.tile(tf.reshape(tf.range(first, first + tokens), [1, 1, tokens, 1]), [batch, kvHeads, 1, 1]);
}

export function dense(data: tf.Tensor4D): DenseEncoding {
  return {kind: 'dense', dim: data.shape[3], data};
}

export function leastCommonMultiple(a: number, b: number): number {
  const gcd = (x: number, y: number): number => (y === 0 ? x : gcd(y, x % y));
  return (a / gcd(a, b)) * b;
}
