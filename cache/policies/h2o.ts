import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {evict} from '../past/evict.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({
  heavyBudget: v.optional(atLeast(1), 256),
  recentBudget: v.optional(atLeast(1), 256),
  sinks: v.optional(atLeast(0), 4),
  normalize: v.optional(v.boolean('expected true or false'), false),
});

export type H2oOptions = v.InferInput<typeof schema>;

/**
 * Heavy-hitter oracle (H2O, Zhang et al., 2023, arXiv 2306.14048): each key head keeps its `heavyBudget` tokens with the
 * largest accumulated attention, and the last `recentBudget`. A token's score is the softmax attention that it got so
 * far, summed over all queries and over the query heads of its group. Tokens are evicted some at a time: less than a
 * sixteenth of the heavy ones, those of the smallest scores, go early.
 *
 * The first `sinks` tokens stay too, within `heavyBudget` (Xiao et al., 2023, arXiv 2309.17453). `normalize` divides a
 * score by the number of queries that could see the token: without, early tokens gather more in more time.
 */
export function h2o(options: H2oOptions = {}): Policy {
  const checked = checkOptions('h2o', schema, options);
  const {heavyBudget, recentBudget, sinks, normalize} = checked;
  return {
    name: 'h2o',
    options: checked,
    tokenBudget: heavyBudget + recentBudget,
    observes: {statistic: 'mass'},
    compress: past =>
      evict(past, {
        budget: heavyBudget,
        recentBudget,
        sinks,
        worth: (scores, positions) =>
          normalize ? tf.div(scores, tf.sub(past.tokensSeen, positions)) : scores,
      }),
  };
}
