import {type LeastUsedOptions, leastUsed} from '../keepers/least_used.js';
import type {Policy} from '../policy.js';

export type LfuOptions = LeastUsedOptions;

/**
 * Least frequently used: once a key head holds more than `maxCacheSize` tokens (512), those go that had the fewest uses. A
 * use is attention of a query above `threshold` (0.01). See `leastUsed` for what is kept for the newest.
 */
export function lfu(options: LfuOptions = {}): Policy {
  return leastUsed('lfu', 'uses', options);
}
