import * as tf from '@tensorflow/tfjs';
import {attentionStatistics} from '../../ops/attention/statistics/index.js';
import {headsOf} from '../../ops/encodings/encoding.js';
import {type AttendContext, attendOptions, attendedKeys} from './attend_past.js';
import type {Past, Segment} from './past.js';
import {runPositions} from './segments.js';

/**
 * What is added up of the attention that a token gets: its `mass` (all of it), its `uses` (queries whose attention passes
 * the threshold), or its `lastUse` (the position of the latest such query).
 */
export type Observation =
  {readonly statistic: 'mass'} | {readonly statistic: 'uses' | 'lastUse'; readonly threshold: number};

/**
 * Adds what the attention of this step's queries tells about each token to its score, over all segments: a sum of `mass`
 * and `uses`, the latest of `lastUse` (a token was used when it came in).
 *
 * @param logSum max + ln(sum) of each query over all segments: float32 `[batch, heads, tokens, 1]`.
 */
export function observe(
  past: Past,
  observation: Observation,
  queries: tf.Tensor4D,
  logSum: tf.Tensor4D,
  context: AttendContext,
): Past {
  const scored = <S extends Segment>(segment: S): S => {
    if (segment.tokens === 0) return segment;
    const seen = attentionStatistics(queries, attendedKeys(segment.keys, context), logSum, {
      ...attendOptions(segment, past, queries, context),
      ...observation,
    }).expandDims<tf.Tensor4D>(3);
    const before = knownScores(segment, observation);
    if (observation.statistic !== 'lastUse') return {...segment, scores: tf.add(before, seen)};
    const firstPosition = past.tokensSeen - queries.shape[2];
    const used = tf.where(tf.greaterEqual(seen, 0), tf.add(seen, firstPosition), tf.fill(seen.shape, -1));
    return {...segment, scores: tf.maximum(before, used)};
  };
  const held = Object.fromEntries(
    Object.entries(past.held).map(([name, segment]) => [name, scored(segment)]),
  );
  return {...past, held, recent: scored(past.recent)};
}

/** The scores so far; those of fresh tokens start at 0, or, for `lastUse`, at their own position. */
function knownScores(segment: Segment, {statistic}: Observation): tf.Tensor4D {
  const {scores, tokens, keys} = segment;
  const {batch, kvHeads} = headsOf(keys);
  const known = scores?.shape[2] ?? 0;
  if (scores !== undefined && known === tokens) return scores;
  const missing = tokens - known;
  const fresh: tf.Tensor4D =
    statistic === 'lastUse' ? positionsFrom(segment, known, missing) : tf.zeros([batch, kvHeads, missing, 1]);
  return scores === undefined ? fresh : tf.concat([scores, fresh], 2);
}

/** Of a run, or of tokens that another policy kept, which may lie anywhere. */
function positionsFrom({positions, keys}: Segment, from: number, tokens: number): tf.Tensor4D {
  return typeof positions === 'number'
    ? runPositions(positions + from, tokens, keys)
    : tf.slice(positions, [0, 0, from, 0], [-1, -1, tokens, -1]);
}
