import type * as tf from '@tensorflow/tfjs';
import {mergePartials} from '../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../ops/attention/merge_partials/log_sum.js';
import {type AttendContext, attendPast, partialsOfPast} from './past/attend_past.js';
import type {Options} from './codec.js';
import {type Observation, observe} from './past/observe.js';
import {type Past, noEvents} from './past/past.js';
import {appendDense} from './past/segments.js';

/**
 * *Which* tokens of one depth stay, and in which codec. A policy is one pure function from a past with fresh tokens in
 * it to the past that is kept; attention over it and taking tokens in are the same for all (`step`).
 */
export interface Policy {
  readonly name: string;
  /** What the registry needs to make this policy again. */
  readonly options: Options;
  /** The most tokens a head holds after a step; absent where the past grows with the text. */
  readonly tokenBudget?: number;
  /** Throws an InvalidArgumentError where the policy's options do not fit heads of these sizes. */
  check?(sizes: {readonly dim: number; readonly dimV: number}): void;
  /** What the policy must know of attention: gathered into `Segment.scores` of every segment, by a second pass. */
  readonly observes?: Observation;
  /** What remains of a past whose newest tokens were just attended. Inside the caller's tidy. */
  compress(past: Past, context: Context): Past;
}

/** What a policy may need to know beyond the past itself. */
export interface Context extends AttendContext {
  readonly depth: number;
  readonly depths: number;
  /** The queries of this step, rotated: float32 `[batch, heads, tokens, dim]`. None where a plan was changed. */
  readonly queries?: tf.Tensor4D;
  /** Tokens to expect in all, where the caller knows: buffers grow to this and no further. */
  readonly expectedTokens?: number;
}

/** Fresh tokens of one depth: float32, rotated queries and keys; latents instead where the context has `latentKeys`. */
export interface Fresh {
  /** `[batch, heads, tokens, dim]` */
  readonly queries: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dim]` */
  readonly keys: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dimV]` */
  readonly values: tf.Tensor4D;
}

/**
 * One step of one depth: the fresh tokens come into the past, their queries attend over all of it (causally among
 * themselves, every token exact until the step is over), then the policy compresses. Pure: the old past stays readable.
 *
 * @returns the attention output `[batch, heads, tokens, dimV]` and the new past.
 */
export function step(
  policy: Policy,
  past: Past | undefined,
  fresh: Fresh,
  context: Omit<Context, 'queries'>,
): {output: tf.Tensor4D; past: Past} {
  const tokens = fresh.queries.shape[2];
  const start = past?.tokensSeen ?? 0;
  const recent = appendDense(past?.recent, fresh.keys, fresh.values, start, context.expectedTokens);
  const extended: Past = {held: {}, events: noEvents, ...past, recent, tokensSeen: start + tokens};
  const {queries} = fresh;
  const compressed = (attended: Past) => policy.compress(attended, {...context, queries});
  if (policy.observes === undefined) {
    return {output: attendPast(extended, queries, context), past: compressed(extended)};
  }
  const partials = partialsOfPast(extended, queries, context);
  const observed = observe(extended, policy.observes, queries, partialLogSum(partials), context);
  return {output: mergePartials(partials), past: compressed(observed)};
}
