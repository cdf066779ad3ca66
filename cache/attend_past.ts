import type * as tf from '@tensorflow/tfjs';
import {attend, type AttendOptions, type Partial} from '../ops/attend/index.js';
import {type Past, type Segment, segmentsOf} from './past.js';
import type {RopeTables} from './rope_tables.js';

/** What attention over a past must know beyond its tokens. */
export interface AttendContext {
  /** Factor of the scores, 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables;
}

/** Partials of queries, whose own tokens are the newest of `recent`, over every segment of a past. */
export function attendPast(past: Past, queries: tf.Tensor4D, context: AttendContext): Partial[] {
  return segmentsOf(past).map(segment =>
    attend(queries, segment.keys, segment.values, attendOptions(segment, past, queries, context)),
  );
}

/** How queries look at one segment: causally where it is the newest, and with its rotation where its keys have none yet. */
export function attendOptions(
  segment: Segment,
  past: Past,
  queries: tf.Tensor4D,
  {scale, rope}: AttendContext,
): AttendOptions {
  const {keys, tokens, positions} = segment;
  const causal = segment === past.recent && queries.shape[2] > 1;
  const unrotated = keys.kind === 'lowRank' && keys.rotate === true;
  const keyRotation = unrotated && rope ? {...rope.upTo(past.tokensSeen), positions} : undefined;
  return {
    tokens,
    scale,
    ...(causal && {firstQuery: tokens - queries.shape[2]}),
    ...(keyRotation && {keyRotation}),
  };
}
