import * as tf from '@tensorflow/tfjs';
import {attend, type AttendOptions, type Partial} from '../../ops/attention/attend/index.js';
import {type AttendedSegment, attendSegments} from '../../ops/attention/attend/segments.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {floatBasis} from '../../ops/encodings/decode.js';
import type {Skipping} from '../../ops/attention/attend/types.js';
import type {Encoding, LowRankEncoding} from '../../ops/encodings/encoding.js';
import {type Scoring, alibiBias} from '../../ops/attention/scoring.js';
import {type Past, type Segment, segmentsOf} from './past.js';
import type {RopeTables} from './rope_tables.js';

/** What attention over a past needs besides its tokens and its `relativeBias`. */
export interface AttendContext extends Omit<Scoring, 'relativeBias'> {
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables;
  /** The basis of the stored keys, if the attention layer compresses them itself; `rope` is then absent. */
  readonly latentKeys?: LatentKeys;
  /** What decoding may leave unread. Default: nothing. */
  readonly skipping?: Skipping | undefined;
}

/**
 * The basis of unrotated latents that a layer gives as keys, shared by all tokens (Eigen Attention, arXiv 2408.05646). Policies store
 * these latents as they store keys of that dim. Only attention rebuilds keys from them, tile by tile.
 */
export interface LatentKeys {
  /** float32 `[batch, kvHeads, rank, dim]`. */
  readonly basis: tf.Tensor4D;
  /** float32 `[batch, kvHeads, 1, dim]`: added to all rebuilt keys. Default: zero. */
  readonly mean?: tf.Tensor4D;
  /** How rebuilt keys are rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables;
}

/**
 * Computes the attention of rotated queries over every segment of a past; the queries' own tokens are the newest of `recent`.
 * @returns float32 `[batch, heads, tokens, dimV]`.
 */
export function attendPast(past: Past, queries: tf.Tensor4D, context: AttendContext): tf.Tensor4D {
  return attendSegments(queries, attendedSegments(past, queries, context));
}

/** Returns the attention of queries over each segment before merging: one partial per segment. */
export function partialsOfPast(past: Past, queries: tf.Tensor4D, context: AttendContext): Partial[] {
  return attendedSegments(past, queries, context).map(segment =>
    attend(queries, segment.keys, segment.values, segment),
  );
}

function attendedSegments(past: Past, queries: tf.Tensor4D, context: AttendContext): AttendedSegment[] {
  return segmentsOf(past).map(segment =>
    Object.assign(attendOptions(segment, past, queries, context), {
      keys: attendedKeys(segment.keys, context),
      values: segment.values,
    }),
  );
}

/**
 * Returns keys in the encoding that attention reads: the stored one, or, for latent keys, a low-rank encoding over the stored latents.
 * Latents z that a policy stores in a basis of its own, `z ~ y C + m`, are read through the product of both bases:
 * `z B + mean = y (C B) + (m B + mean)`.
 */
export function attendedKeys(keys: Encoding, {latentKeys}: AttendContext): Encoding {
  if (latentKeys === undefined) return keys;
  const {basis, mean, rope} = latentKeys;
  const shared = {kind: 'lowRank', dim: basis.shape[3], ...(rope && {rotate: true})} as const;
  if (keys.kind !== 'lowRank') {
    return {...shared, rank: keys.dim, latents: keys, basis, mean} satisfies LowRankEncoding;
  }
  const means = [...(keys.mean ? [batchedMatMul(keys.mean, basis)] : []), ...(mean ? [mean] : [])];
  return {
    ...shared,
    rank: keys.rank,
    latents: keys.latents,
    basis: batchedMatMul<tf.Tensor4D>(floatBasis(keys.basis), basis),
    ...(means.length > 0 && {mean: tf.addN(means)}),
  } satisfies LowRankEncoding;
}

/** Returns the options of attention over one segment: causal if it is the newest, with a rotation if its keys or their mean need one. */
export function attendOptions(
  segment: Segment,
  past: Past,
  queries: tf.Tensor4D,
  context: AttendContext,
): AttendOptions {
  const {scale, softCap, window: size, rope, latentKeys, skipping} = context;
  const {keys, tokens, positions} = segment;
  const causal = segment === past.recent && queries.shape[2] > 1;
  const tables = latentKeys
    ? latentKeys.rope
    : keys.kind === 'lowRank' && (keys.rotate === true || keys.rotatedMean !== undefined)
      ? rope
      : undefined;
  const seen: AttendOptions = {tokens, scale};
  if (skipping !== undefined) Object.assign(seen, {skipping});
  if (softCap !== undefined) Object.assign(seen, {softCap});
  const bias = biasOf(segment, past, queries, context);
  if (bias !== undefined) Object.assign(seen, {bias});
  if (causal) Object.assign(seen, {firstQuery: tokens - queries.shape[2]});
  const firstQuery = past.tokensSeen - queries.shape[2];
  const {relativeBias: table} = past;
  if (table !== undefined) Object.assign(seen, {relative: {table, firstQuery, positions}});
  if (size !== undefined) {
    Object.assign(seen, {window: {size, firstQuery, positions}});
  }
  if (tables === undefined) return seen;
  return {...seen, keyRotation: {...tables.upTo(past.tokensSeen), positions: wholePositions(positions)}};
}

/** What is added to the scores of a segment's tokens: what they took over, and what falls with their distance. */
function biasOf(
  {positions, tokens, bias}: Segment,
  {tokensSeen}: Past,
  {shape: [batch, heads]}: tf.Tensor4D,
  {alibi}: AttendContext,
): tf.Tensor4D | undefined {
  if (alibi !== true) return bias;
  const ofDistance = alibiBias(positions, tokens, tokensSeen - 1, [batch, heads]);
  return bias === undefined ? ofDistance : tf.add<tf.Tensor4D>(ofDistance, bias);
}

/** Positions as int32 indices into a table. */
function wholePositions(positions: Segment['positions']): Segment['positions'] {
  return typeof positions === 'number' ? positions : tf.cast(positions, 'int32');
}
