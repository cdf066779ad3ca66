import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {evict} from '../evict.js';
import {atLeast, checkOptions, probability} from '../options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({
  maxCacheSize: v.optional(atLeast(2), 512),
  threshold: v.optional(probability, 0.01),
});

export type LruOptions = v.InferInput<typeof schema>;

/**
 * Least recently used: a token is used when the attention of a query to it passes `threshold`; over `maxCacheSize`
 * tokens, each key head evicts those whose last use lies furthest back, of equals the oldest. A sixteenth of the size is
 * kept for the newest. Less than a sixteenth of the others go early, so that some move at a time.
 */
export function lru(options: LruOptions = {}): Policy {
  const checked = checkOptions('lru', schema, options);
  const {maxCacheSize, threshold} = checked;
  const recentBudget = Math.ceil(maxCacheSize / 16);
  return {
    name: 'lru',
    options: checked,
    tokenBudget: maxCacheSize,
    observes: {statistic: 'lastUse', threshold},
    compress: past =>
      evict(past, {
        budget: maxCacheSize - recentBudget,
        recentBudget,
        sinks: 0,
        worth: (lastUse, positions) => tf.add(lastUse, tf.div(positions, past.tokensSeen)),
      }),
  };
}
