import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import type {DenseEncoding} from '../../ops/encodings/encoding.js';
import {gatherRows, gatherTokens} from '../../ops/gather_tokens/index.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {type Past, type Segment, tokensHeld} from './past.js';
import {dense, earlyTokens, firstTokens, runPositions, withoutOldest} from './segments.js';

/** How an evicting policy chooses. */
export interface Eviction {
  /** The most tokens a head keeps outside the recent ones. */
  readonly budget: number;
  /** The most recent tokens, which are never evicted. */
  readonly recentBudget: number;
  /** The first tokens of the text, which are never evicted either. Part of `budget`. */
  readonly sinks: number;
  /**
   * The worth of each token: float32 `[batch, kvHeads, tokens, 1]` from its score (0 where the policy observes nothing), its
   * position and its key, `[batch, kvHeads, tokens, dim]` as stored; those of the least are evicted.
   */
  readonly worth: (scores: tf.Tensor4D, positions: tf.Tensor4D, keys: tf.Tensor4D) => tf.Tensor;
}

/** Policies of one's own pass on what they are given: on the command line that is any text. */
const schema = v.strictObject({budget: atLeast(1), recentBudget: atLeast(0), sinks: atLeast(0)});

/** Beyond all other worth. Not Infinity: the TopK of tfjs compares two of those by their difference, and errs. */
const priceless = 3e38;

/**
 * Once a head holds more than both budgets, moves all but the `recentBudget` newest tokens to those kept before (`heavy`)
 * and keeps those of them which are worth most, each head its own. Memory is really freed: what stays is gathered into
 * new buffers. So that this copy is not due at every step, the few that are worth least go early, and `budget` is what
 * they grow to again: see `earlyTokens`.
 *
 * @throws InvalidArgumentError where a budget is no whole number, or `budget` is below 1.
 */
export function evict(past: Past, {budget, recentBudget, sinks, worth}: Eviction): Past {
  checkOptions('evict', schema, {budget, recentBudget, sinks});
  if (tokensHeld(past) <= budget + recentBudget) return past;
  const leaving = Math.max(0, past.recent.tokens - recentBudget);
  const candidates = withCandidates(past.held['heavy'], past.recent, leaving);
  const {scores, positions} = candidates;
  const value = tf.where(
    tf.less(positions, sinks),
    tf.fill(positions.shape, priceless),
    worth(scores ?? tf.zerosLike(positions), positions, candidates.keys.data),
  );
  const kept = Math.min(budget - earlyTokens(budget), candidates.tokens);
  const {indices} = tf.topk(tf.squeeze<tf.Tensor3D>(value, [3]), kept);
  const heavy = keepTokens(candidates, indices);
  const evictedTokens = past.events.evictedTokens + candidates.tokens - kept;
  return {
    ...past,
    held: {heavy},
    recent: withoutOldest(past.recent, leaving),
    events: {...past.events, evictedTokens},
  };
}

/** A segment, whose positions are a tensor, with only some of its tokens: int32 `[batch, kvHeads, kept]`. */
export function keepTokens({keys, values, positions, scores}: Segment, indices: tf.Tensor3D): Segment {
  return {
    keys: gatherTokens(keys, indices),
    values: gatherTokens(values, indices),
    tokens: indices.shape[2],
    positions: gatherRows(positions as tf.Tensor4D, indices),
    ...(scores && {scores: gatherRows(scores, indices)}),
  };
}

/** Kept tokens and the oldest recent ones as one dense segment whose positions, and scores where there are, are tensors. */
function withCandidates(heavy: Segment | undefined, recent: Past['recent'], leaving: number) {
  const positions = runPositions(recent.positions, leaving, recent.keys);
  const join = (kept: tf.Tensor4D | undefined, fresh: tf.Tensor4D): tf.Tensor4D =>
    kept === undefined ? fresh : tf.concat([kept, fresh], 2);
  const scores = recent.scores && tf.slice(recent.scores, [0, 0, 0, 0], [-1, -1, leaving, -1]);
  return {
    keys: dense(join((heavy?.keys as DenseEncoding | undefined)?.data, firstTokens(recent.keys, leaving))),
    values: dense(
      join((heavy?.values as DenseEncoding | undefined)?.data, firstTokens(recent.values, leaving)),
    ),
    tokens: (heavy?.tokens ?? 0) + leaving,
    positions: join(heavy?.positions as tf.Tensor4D | undefined, positions),
    ...(scores && {scores: join(heavy?.scores, scores)}),
  };
}
