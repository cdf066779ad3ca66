import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {attentionStatistics} from '../../ops/attention/statistics/index.js';
import type {AskedQueries, Context} from '../contract.js';
import {attendOptions, attendedKeys, partialsOfPast} from './attend_past.js';
import type {Past, Segment} from './past.js';
import {newestQueries} from './query_window.js';

/**
 * The newest queries and their attention over all tokens that are held, computed once. As many as see every candidate: those of the recent
 * tokens, all of which are newer.
 */
export function askedQueries(
  name: string,
  most: number | undefined,
  segments: readonly Segment[],
  past: Past,
  context: Context,
  lasting: LastingTensors,
): () => AskedQueries {
  return memo(() => {
    const {queries: window, recent} = past;
    if (most === undefined || window === undefined) {
      throw new InvalidArgumentError(
        `The score of the keeper ${name} asks for queries; say how many of the newest ones it needs: {queries: 32}.`,
      );
    }
    const count = Math.min(most, window.tokens, Math.max(1, recent.tokens));
    const [rotated] = lasting.keep(() => [tf.clone(newestQueries(window, count))]) as [tf.Tensor4D];
    const partials = memo(() => lasting.keep(() => partialsOfPast(past, rotated, context)));
    const lastingOne = (make: () => tf.Tensor4D) => memo(() => lasting.keep(() => [make()])[0]!);
    const logSum = lastingOne(() => partialLogSum(partials()));
    return {
      count,
      rotated,
      scale: context.scale,
      outputs: lastingOne(() => mergePartials(partials())),
      logSum,
      mass: lastingOne(() =>
        joined(
          segments.map(segment =>
            tf.expandDims<tf.Tensor4D>(
              attentionStatistics(rotated, attendedKeys(segment.keys, context), logSum(), {
                ...attendOptions(segment, past, rotated, context),
                statistic: 'mass',
              }),
              3,
            ),
          ),
        ),
      ),
    };
  });
}

export function memo<T>(make: () => T): () => T {
  let made: {readonly value: T} | undefined;
  return () => (made ??= {value: make()}).value;
}

/** Tensors that are computed while a tile is scored and outlive the tidy of that tile, until all scores are there. */
export class LastingTensors {
  readonly #tensors: tf.Tensor[] = [];

  keep(make: () => tf.Tensor4D[]): tf.Tensor4D[] {
    const made = tf.tidy(make);
    for (const tensor of made) this.#tensors.push(tf.keep(tensor));
    return made;
  }

  dispose(): void {
    tf.dispose(this.#tensors);
  }
}

/** What belongs to the tokens of some runs, one after another along the tokens. */
export const joined = (parts: readonly tf.Tensor[]): tf.Tensor4D =>
  parts.length === 1 ? (parts[0] as tf.Tensor4D) : tf.concat([...parts] as tf.Tensor4D[], 2);
