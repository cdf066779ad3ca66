import type {Factory} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {mostUsed} from '../keepers/most_used.js';
import {definePolicy} from './define.js';
import {type LeastUsedOptions, leastUsedEntries, sizeOfRecent, sizesOf} from './lru.js';

/**
 * Least frequently used: once a key head holds more than `maxCacheSize` tokens, it evicts those with the fewest uses; ties evict the
 * oldest. A query uses a token if its attention probability exceeds `threshold`.
 */
export const lfu: Factory<LeastUsedOptions, Policy> = definePolicy('lfu', leastUsedEntries, checked => {
  const {maxCacheSize, threshold, refit, store} = checked;
  const {sinks, recent, budget} = sizesOf(maxCacheSize, checked.sinks);
  return {sinks, recent, recentOption: sizeOfRecent, keep: mostUsed({budget, threshold, refit}), store};
});
