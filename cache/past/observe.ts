import * as tf from '@tensorflow/tfjs';
import {attentionStatistics} from '../../ops/attention/statistics/index.js';
import {headsOf} from '../../ops/encodings/encoding.js';
import {type AttendContext, attendOptions, attendedKeys} from './attend_past.js';
import type {Past, Segment} from './past.js';
import {positionsOf} from './segments.js';

/**
 * A statistic of the attention that a token receives from all queries that see it, over all query heads of its group:
 *
 * - `mass`: the sum of its attention probabilities;
 * - `uses`: the number of queries whose attention to it exceeds `threshold`;
 * - `lastUse`: the position of the last such query.
 */
export type Observation =
  {readonly statistic: 'mass'} | {readonly statistic: 'uses' | 'lastUse'; readonly threshold: number};

/**
 * Updates each token's score, in all segments, by the attention of this step's queries: `mass` and `uses` are added, `lastUse` is the
 * maximum (a token's own position is its first use).
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
  const {statistic} = observation;
  const scored = <S extends Segment>(segment: S): S => {
    if (segment.tokens === 0) return segment;
    const seen = attentionStatistics(queries, attendedKeys(segment.keys, context), logSum, {
      ...attendOptions(segment, past, queries, context),
      ...observation,
    }).expandDims<tf.Tensor4D>(3);
    const before = knownScores(segment, observation);
    if (statistic !== 'lastUse') return {...segment, scores: tf.add(before, seen)};
    const firstPosition = past.tokensSeen - queries.shape[2];
    const used = tf.where(tf.greaterEqual(seen, 0), tf.add(seen, firstPosition), tf.fill(seen.shape, -1));
    return {...segment, scores: tf.maximum(before, used)};
  };
  const candidates = Object.entries(past.held).map(([name, segment]) => [
    name,
    name === 'sinks' ? segment : scored(segment), // never evicted
  ]);
  return {...past, held: Object.fromEntries(candidates) as Past['held'], recent: scored(past.recent)};
}

/** The scores so far; those of fresh tokens start at 0, or, for `lastUse`, at their own position. */
function knownScores(segment: Segment, {statistic}: Observation): tf.Tensor4D {
  const {scores, tokens, keys} = segment;
  const {batch, kvHeads} = headsOf(keys);
  const known = scores?.shape[2] ?? 0;
  if (scores !== undefined && known === tokens) return scores;
  const missing = tokens - known;
  const fresh: tf.Tensor4D =
    statistic === 'lastUse'
      ? tf.slice(positionsOf(segment), [0, 0, known, 0], [-1, -1, missing, -1])
      : tf.zeros([batch, kvHeads, missing, 1]);
  return scores === undefined ? fresh : tf.concat([scores, fresh], 2);
}
