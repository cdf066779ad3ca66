import * as v from 'valibot';
import {type Factory, atLeast, probability} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {lastUsed} from '../keepers/last_used.js';
import {type StoreOptions, definePolicy, storeEntries} from './define.js';

export interface LeastUsedOptions extends StoreOptions {
  /** Tokens that stay per head, the `sinks` and the newest among them. Default 512. */
  readonly maxCacheSize?: number;
  /** A token is used if the attention of a query to it exceeds this probability. Default 0.01. */
  readonly threshold?: number;
}

export const leastUsedEntries = {
  maxCacheSize: v.optional(atLeast(2), 512),
  threshold: v.optional(probability, 0.01),
  ...storeEntries,
};

/** A sixteenth of the size is kept for the newest tokens, which had no time to be used. */
export function sizesOf(size: number, sinks: number): {recent: number; budget: number; sinks: number} {
  const recent = Math.ceil(size / 16);
  const first = Math.min(sinks, size - recent - 1); // a small cache has no room for all of them
  return {recent, budget: size - recent - first, sinks: first};
}

/**
 * Least recently used: once a key head holds more than `maxCacheSize` tokens, those go whose last use lies furthest back; ties evict
 * the oldest. A use is attention of a query above `threshold`.
 */
export const lru: Factory<LeastUsedOptions, Policy> = definePolicy('lru', leastUsedEntries, checked => {
  const {maxCacheSize, threshold, store} = checked;
  const {sinks, recent, budget} = sizesOf(maxCacheSize, checked.sinks);
  return {sinks, recent, keep: lastUsed({budget, threshold}), store};
});
