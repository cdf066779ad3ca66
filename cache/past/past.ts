import type * as tf from '@tensorflow/tfjs';
import type {SkipCounts} from '../../ops/attention/attend/types.js';
import {isLent} from '../sharing/shared_tensors.js';
import {type DenseEncoding, type Encoding, bareTensors} from '../../ops/encodings/encoding.js';

/** Tokens of one depth that are stored together: their keys in one encoding, their values in another (or the same). */
export interface Segment {
  readonly keys: Encoding;
  readonly values: Encoding;
  /** Number of tokens; the encodings may have spare capacity. */
  readonly tokens: number;
  /**
   * The position of each token in its text. A number is the first position of a run without gaps. After an eviction, each head may hold
   * other tokens: float32 (exact to 2^24) `[batch, kvHeads, capacity, 1]`. Positions never change.
   */
  readonly positions: number | tf.Tensor4D;
  /** The attention statistic of each token, if the keeper observes one: float32 `[batch, kvHeads, tokens, 1]`. */
  readonly scores?: tf.Tensor4D;
  /** Added to the attention scores of each token, since some took over evicted ones: float32 `[batch, kvHeads, tokens, 1]`. Default: nothing. */
  readonly bias?: tf.Tensor4D | undefined;
}

/** Exact tokens: dense float32 keys (rotated) and values. */
export interface DenseBlock extends Segment {
  readonly keys: DenseEncoding;
  readonly values: DenseEncoding;
}

/** Exact tokens at consecutive positions. */
export interface DenseSegment extends DenseBlock {
  readonly positions: number;
}

/**
 * The past of one depth as its policy stores it. Fresh tokens are appended to `recent`, whose keys (rotated) and values are dense; older
 * tokens are in `held`.
 */
export interface Past {
  /**
   * Segments by name. `sinks`: the first tokens, exact. `stored`: tokens encoded by a pair of codecs. `finest`, `finer` and `fine`: tokens
   * that have more bits than those in `stored`, which is where they go before they are evicted. `rest`: exact tokens of a former plan that
   * wait to be stored. A `PairCodec` may use other names.
   */
  readonly held: Readonly<Record<string, Segment>>;
  readonly recent: DenseSegment;
  /** Tokens seen so far, evicted ones included; also the position of the next token. */
  readonly tokensSeen: number;
  /** The newest queries, if the keeper asks for any. */
  readonly queries?: QueryWindow | undefined;
  /** The biases by head and distance with which the newest tokens attended: see `ScoringOptions.relativeBias`. */
  readonly relativeBias?: tf.Tensor2D | undefined;
  /** Tensors that a codec keeps from step to step besides the tokens. */
  readonly extras?: Readonly<Record<string, tf.Tensor>>;
  /** The block that waits until its codec knows what it decides by; only on backends whose numbers come late. */
  readonly undecided?: Undecided | undefined;
  /** Counts of what the policy did so far, for the monitor. */
  readonly events: PastEvents;
  /** What decoding left unread so far, if the policy lets it; not saved in snapshots. */
  readonly skipped?: SkipCounts | undefined;
}

/** A block that stays exact until the numbers that its codec decides by have come from the device: see `PairCodec.add`. */
export interface Undecided {
  /** The position of its first token; null in `held.rest`, whose positions differ from head to head. */
  readonly from: number | null;
  /** How many it has, the oldest of `held.rest`, or of `recent` after the sinks. */
  readonly tokens: number;
  /** What the codec asked for, float32. */
  readonly numbers: readonly tf.Tensor[];
}

/** The queries at the positions `tokensSeen - tokens .. tokensSeen` of a depth. */
export interface QueryWindow {
  /** Rotated, float32 `[batch, heads, capacity, dim]`. */
  readonly data: tf.Tensor4D;
  /** Rows that hold a query; the others are spare capacity. */
  readonly tokens: number;
}

/** Counts of what a policy did at one depth. */
export interface PastEvents {
  /** Blocks of tokens that were encoded. */
  readonly blocksEncoded: number;
  /** Updates of a singular value decomposition. */
  readonly svdUpdates: number;
  /** Tokens evicted per head. */
  readonly evictedTokens: number;
}

export const noEvents: PastEvents = {blocksEncoded: 0, svdUpdates: 0, evictedTokens: 0};

/** Returns all segments of a past that hold tokens; `recent` is the last. */
export function segmentsOf(past: Past): Segment[] {
  return [...Object.values(past.held), past.recent].filter(({tokens}) => tokens > 0);
}

/** Returns every tensor of a past. */
export function tensorsOfPast(past: Past): tf.Tensor[] {
  const tensors: tf.Tensor[] = [];
  // loops: each depth asks for these at each token, and flatMap takes ten times longer
  for (const segment of Object.values(past.held)) addTensors(segment, tensors);
  addTensors(past.recent, tensors);
  if (past.queries !== undefined) tensors.push(past.queries.data);
  if (past.relativeBias !== undefined) tensors.push(past.relativeBias);
  if (past.undecided !== undefined) tensors.push(...past.undecided.numbers);
  if (past.extras !== undefined) tensors.push(...Object.values(past.extras));
  return tensors;
}

function addTensors({keys, values, positions, scores, bias}: Segment, tensors: tf.Tensor[]): void {
  tensors.push(...Object.values(bareTensors(keys)), ...Object.values(bareTensors(values)));
  if (typeof positions !== 'number') tensors.push(positions);
  if (scores !== undefined) tensors.push(scores);
  if (bias !== undefined) tensors.push(bias);
}

/** The segments whose tokens lose bits before they are evicted, from the most bits to the fewest. */
export const finerSegments: readonly string[] = ['finest', 'finer', 'fine'];

/** Whether a held segment has the first tokens, or some that lose bits first: a keeper evicts none of them. */
export const isAlwaysKept = (name: string): boolean => name === 'sinks' || finerSegments.includes(name);

/** Returns a past with other segments of these names; those without tokens are left out. */
export function withSegments(past: Past, segments: Readonly<Record<string, Segment>>): Past {
  const held = Object.entries({...past.held, ...segments});
  return {...past, held: Object.fromEntries(held.filter(([, {tokens}]) => tokens > 0))};
}

/** Returns the position of the oldest token that the next query sees. Tokens before it are never seen again. */
export function oldestSeen({tokensSeen}: Pick<Past, 'tokensSeen'>, window: number | undefined): number {
  return window === undefined ? 0 : Math.max(0, tokensSeen - window + 1);
}

/** Returns the tokens that a past holds per head: `tokensSeen` less those that were evicted, or that no later query sees. */
export function tokensHeld(past: Past): number {
  return segmentsOf(past).reduce((sum, {tokens}) => sum + tokens, 0);
}

/** Returns the bytes of all tensors of a past, with spare capacity, but for those that its model lends to all caches. */
export function pastBytes(past: Past): number {
  const tensors = new Set(tensorsOfPast(past)); // segments may share a basis
  return [...tensors].reduce((sum, tensor) => sum + (isLent(tensor) ? 0 : 4 * tensor.size), 0);
}
