import * as tf from '@tensorflow/tfjs';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import type {SkipCounts} from '../../ops/attention/attend/types.js';
import type {Context, Policy} from '../contract.js';
import {attendPast, partialsOfPast} from './attend_past.js';
import {keepAndStore} from './keep_and_store.js';
import {observe} from './observe.js';
import {type Past, noEvents} from './past.js';
import {appendQueries, queriesKept} from './query_window.js';
import {appendDense} from './segments.js';

/** Fresh tokens of one depth: float32, queries and keys rotated. If the context has `latentKeys`, keys are unrotated latents. */
export interface Fresh {
  /** `[batch, heads, tokens, dim]` */
  readonly queries: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dim]` */
  readonly keys: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dimV]` */
  readonly values: tf.Tensor4D;
  /** `[heads, distances]`: see `ScoringOptions.relativeBias`. */
  readonly relativeBias?: tf.Tensor2D | undefined;
}

const nothingSkipped: SkipCounts = {tokens: 0, unread: 0};

/**
 * One step of one depth: appends the fresh tokens to the past, attends with their queries over all of it (causally among themselves),
 * then lets the policy keep and store. Fresh tokens are exact during their own step. Pure: the old past stays readable.
 *
 * @returns the attention output, float32 `[batch, heads, tokens, dimV]`, and the new past.
 */
export function step(
  policy: Policy,
  past: Past | undefined,
  fresh: Fresh,
  context: Omit<Context, 'queries'>,
): {output: tf.Tensor4D; past: Past} {
  const {queries} = fresh;
  const start = past?.tokensSeen ?? 0;
  const recent = appendDense(past?.recent, fresh.keys, fresh.values, start, context.expectedTokens);
  const {observes} = policy.keep;
  const most = queriesKept(policy.keep);
  const extended: Past = {
    held: {},
    events: noEvents,
    ...past,
    recent,
    tokensSeen: start + queries.shape[2],
    queries: most === undefined ? undefined : appendQueries(past?.queries, queries, most),
    relativeBias: ownTable(past?.relativeBias, fresh.relativeBias),
    skipped: past?.skipped,
  };
  const skipped = policy.skipValues === undefined ? undefined : {...(past?.skipped ?? nothingSkipped)};
  const seen = skipped && {...context, skipping: {share: policy.skipValues!, counts: skipped}};
  const keptOf = (attended: Past) => keepAndStore(policy, {...attended, skipped}, {queries, ...context});
  if (observes === undefined) {
    return {output: attendPast(extended, queries, seen ?? context), past: keptOf(extended)};
  }
  const partials = partialsOfPast(extended, queries, seen ?? context);
  const observed = observe(extended, observes, queries, partialLogSum(partials), context);
  return {output: mergePartials(partials), past: keptOf(observed)};
}

/** A table of the past's own, which is freed with it; it shares its numbers with the given one. */
function ownTable(own: tf.Tensor2D | undefined, given: tf.Tensor2D | undefined): tf.Tensor2D | undefined {
  if (given === undefined) return undefined;
  return own !== undefined && own.dataId === given.dataId ? own : tf.clone(given);
}
