import {type LeastUsedOptions, leastUsed} from '../keepers/least_used.js';
import type {Policy} from '../policy.js';

export type LruOptions = LeastUsedOptions;

/**
 * Least recently used: once a key head holds more than `maxCacheSize` tokens (512), those go whose last use lies furthest
 * back. A use is attention of a query above `threshold` (0.01). See `leastUsed` for what is kept for the newest.
 */
export function lru(options: LruOptions = {}): Policy {
  return leastUsed('lru', 'lastUse', options);
}
