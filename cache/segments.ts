import * as tf from '@tensorflow/tfjs';
import {append} from '../ops/append/index.js';
import {type DenseForm, type Form, mapTensors, tensorsOf} from '../ops/forms.js';
import type {Codec} from './codec.js';
import type {DenseSegment, Past, Segment} from './past.js';

// The mechanics that policies share. All pure, inside the caller's tidy; "the old state stays readable" throughout.

/** Codecs of both sides of a segment. */
export interface SideCodecs {
  readonly keys: Codec;
  readonly values: Codec;
}

/**
 * Takes fresh dense tokens in behind those that are there: O(fresh tokens), amortised. The buffer grows by an eighth, so
 * that spare room stays small and a token is copied eight times at most, in all; never beyond `expectedTokens`.
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
    keys: appendForm(segment?.keys, fresh.keys, at, capacity),
    values: appendForm(segment?.values, fresh.values, at, capacity),
    tokens,
    positions: segment === undefined || segment.tokens === 0 ? fresh.positions : segment.positions,
  };
}

function appendForm(form: Form | undefined, fresh: Form, at: number, capacity: number): Form {
  const buffers = form === undefined ? {} : tensorsOf(form);
  return mapTensors(fresh, (tensor, name, tokensPerRow) => {
    const buffer = buffers[name]?.tensor;
    if (tokensPerRow === Infinity) return buffer ?? tensor; // shared by all tokens, such as a basis
    return append(buffer, tensor, at / tokensPerRow, Math.ceil(capacity / tokensPerRow));
  });
}

function grownCapacity(tokens: number, expectedTokens = Infinity): number {
  const grown = Math.ceil((tokens * 1.125) / 16) * 16;
  return tokens <= expectedTokens ? Math.min(grown, expectedTokens) : grown;
}

/**
 * Moves the `tokens` oldest tokens of `recent` into the last held segment, encoded once; `tokens` is a multiple of both
 * codecs' blocks. The first seal makes that segment.
 */
export function seal(past: Past, tokens: number, codecs: SideCodecs, expectedTokens?: number): Past {
  if (tokens <= 0) return past;
  const {recent} = past;
  const sealed: Segment = {
    keys: codecs.keys.encode(firstTokens(recent.keys, tokens)),
    values: codecs.values.encode(firstTokens(recent.values, tokens)),
    tokens,
    positions: recent.positions,
  };
  return {
    ...past,
    held: [...past.held.slice(0, -1), appendSegment(past.held.at(-1), sealed, expectedTokens)],
    recent: withoutOldest(recent, tokens),
    events: {...past.events, seals: past.events.seals + 1},
  };
}

/** A dense run without its oldest tokens, in a buffer of its own that is no larger than it must be. */
export function withoutOldest(recent: DenseSegment, tokens: number): DenseSegment {
  const left = recent.tokens - tokens;
  const rows = Math.max(left, 1); // a buffer has a row at least
  const rest = ({data}: DenseForm): DenseForm =>
    dense(tf.slice(data, [0, 0, recent.tokens - rows, 0], [-1, -1, rows, -1]));
  return {
    keys: rest(recent.keys),
    values: rest(recent.values),
    tokens: left,
    positions: recent.positions + tokens,
  };
}

/** The oldest tokens of a dense form, as a tensor of their own. */
export function firstTokens({data}: DenseForm, tokens: number): tf.Tensor4D {
  return tf.slice(data, [0, 0, 0, 0], [-1, -1, tokens, -1]);
}

export function dense(data: tf.Tensor4D): DenseForm {
  return {kind: 'dense', dim: data.shape[3], data};
}

/** The largest multiple of both codecs' blocks that is at most `tokens`. */
export function wholeBlocks(tokens: number, {keys, values}: SideCodecs): number {
  const block = leastCommonMultiple(keys.blockTokens, values.blockTokens);
  return Math.floor(Math.max(tokens, 0) / block) * block;
}

function leastCommonMultiple(a: number, b: number): number {
  const gcd = (x: number, y: number): number => (y === 0 ? x : gcd(y, x % y));
  return (a / gcd(a, b)) * b;
}
