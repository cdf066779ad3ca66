import type * as tf from '@tensorflow/tfjs';
import {type DenseEncoding, type Encoding, encodingBytes, mapTensors} from '../../ops/encodings/encoding.js';

/** A run of tokens of one depth: their keys in one codec's encoding, their values in another's (or the same). */
export interface Segment {
  readonly keys: Encoding;
  readonly values: Encoding;
  /** How many tokens are valid; the encodings may have room for more. */
  readonly tokens: number;
  /**
   * The position of each token in its text. A number is the first of a run without gaps; after an eviction every head
   * keeps tokens of its own: float32 (exact to 2^24) `[batch, kvHeads, rows, 1]`. Eviction never renumbers.
   */
  readonly positions: number | tf.Tensor4D;
  /** The attention that each token got so far: float32 `[batch, kvHeads, tokens, 1]`, if the keeper observes it. */
  readonly scores?: tf.Tensor4D;
}

/** Exact tokens: dense float32 keys (rotated) and values. */
export interface DenseBlock extends Segment {
  readonly keys: DenseEncoding;
  readonly values: DenseEncoding;
}

/** Exact tokens without gaps. */
export interface DenseSegment extends DenseBlock {
  readonly positions: number;
}

/**
 * The past of one depth as its policy laid it out. Fresh tokens always come into `recent`, whose keys (rotated) and
 * values are dense; older tokens lie in `held`.
 */
export interface Past {
  /**
   * By name, in the order of their making. `sinks`: the first tokens, exact. `stored`: what a pair of codecs stored. `rest`: exact
   * tokens that another plan left behind and that are still to be stored. Other names are a pair codec's own.
   */
  readonly held: Readonly<Record<string, Segment>>;
  readonly recent: DenseSegment;
  /** Tokens that came in, the evicted ones included: the position of the next one. */
  readonly tokensSeen: number;
  /** Tensors that a codec carries from step to step beside the tokens. */
  readonly extras?: Readonly<Record<string, tf.Tensor>>;
  /** What the policy did so far, for the monitor. */
  readonly events: PastEvents;
}

/** How often a policy did something, and to how many tokens (per head). */
export interface PastEvents {
  /** Blocks of tokens that were encoded. */
  readonly blocksEncoded: number;
  /** Updates of a singular value decomposition. */
  readonly svdUpdates: number;
  readonly evictedTokens: number;
}

export const noEvents: PastEvents = {blocksEncoded: 0, svdUpdates: 0, evictedTokens: 0};

/** All segments of a past, oldest first; empty ones left out. */
export function segmentsOf(past: Past): Segment[] {
  return [...Object.values(past.held), past.recent].filter(({tokens}) => tokens > 0);
}

/** Every tensor of a past. */
export function tensorsOfPast(past: Past): tf.Tensor[] {
  const tensors = [...Object.values(past.held), past.recent].flatMap(tensorsOfSegment);
  return past.extras === undefined ? tensors : [...tensors, ...Object.values(past.extras)];
}

function tensorsOfSegment({keys, values, positions, scores}: Segment): tf.Tensor[] {
  const tensors: tf.Tensor[] = [];
  for (const encoding of [keys, values]) {
    mapTensors(encoding, tensor => {
      tensors.push(tensor);
      return tensor;
    });
  }
  if (typeof positions !== 'number') tensors.push(positions);
  if (scores !== undefined) tensors.push(scores);
  return tensors;
}

/** Tokens that a past holds per head: what is left of `tokensSeen` after evictions. */
export function tokensHeld(past: Past): number {
  return segmentsOf(past).reduce((sum, {tokens}) => sum + tokens, 0);
}

/** True bytes of a segment: codes, scales, positions, scores and spare capacity. */
function segmentBytes({keys, values, positions, scores}: Segment): number {
  const metadata = (typeof positions === 'number' ? 0 : positions.size) + (scores?.size ?? 0);
  return encodingBytes(keys) + encodingBytes(values) + metadata * 4;
}

/** True bytes of a past. */
export function pastBytes(past: Past): number {
  const extras = Object.values(past.extras ?? {}).reduce((sum, {size}) => sum + size * 4, 0);
  return [...Object.values(past.held), past.recent].reduce(
    (sum, segment) => sum + segmentBytes(segment),
    extras,
  );
}
