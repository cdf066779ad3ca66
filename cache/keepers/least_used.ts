import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {evict} from '../past/evict.js';
import {atLeast, checkOptions, probability} from '../../base/options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({
  maxCacheSize: v.optional(atLeast(2), 512),
  threshold: v.optional(probability, 0.01),
});

export type LeastUsedOptions = v.InferInput<typeof schema>;

/**
 * What `lru` and `lfu` share: a token is used when the attention of a query to it passes `threshold` (0.01); over
 * `maxCacheSize` (512) tokens, each key head evicts those of the lowest `statistic`, of equals the oldest. A sixteenth of
 * the size is kept for the newest, which had no time to be used. Less than a sixteenth of the others go early, so that
 * some move at a time.
 */
export function leastUsed(name: string, statistic: 'lastUse' | 'uses', options: LeastUsedOptions): Policy {
  const checked = checkOptions(name, schema, options);
  const {maxCacheSize, threshold} = checked;
  const recentBudget = Math.ceil(maxCacheSize / 16);
  return {
    name,
    options: checked,
    tokenBudget: maxCacheSize,
    observes: {statistic, threshold},
    compress: past =>
      evict(past, {
        budget: maxCacheSize - recentBudget,
        recentBudget,
        sinks: 0,
        // of equals the oldest; counted from the newest position, since beside a large number float32 has no room for a fraction
        worth: (used, positions) =>
          tf.add(
            statistic === 'lastUse' ? tf.sub(used, past.tokensSeen) : used,
            tf.div(positions, past.tokensSeen),
          ),
      }),
  };
}
