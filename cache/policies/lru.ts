import * as v from 'valibot';
import {type Factory, atLeast, probability} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {lastUsed} from '../keepers/last_used.js';
import {type RefitOptions, refitEntries} from '../keepers/options.js';
import {type StoringOptions, definePolicy, storeEntries} from './define.js';

export interface LeastUsedOptions extends StoringOptions, RefitOptions {
  /** Tokens that stay per key head, sinks and recent tokens included. Default 512. */
  readonly maxCacheSize?: number;
  /** A query uses a token if its attention probability exceeds this, from 0 to 1. Default 0.01. */
  readonly threshold?: number;
}

export const leastUsedEntries = {
  maxCacheSize: v.optional(atLeast(2), 512),
  threshold: v.optional(probability, 0.01),
  ...refitEntries,
  ...storeEntries,
};

/** Splits the size into sinks, budget and recent tokens. A sixteenth is for recent tokens, which few queries could use yet. */
export function sizesOf(size: number, sinks: number): {recent: number; budget: number; sinks: number} {
  const recent = Math.ceil(size / 16);
  const first = Math.min(sinks, size - recent - 1); // a small cache has no room for all sinks
  return {recent, budget: size - recent - first, sinks: first};
}

/** The least size with so many recent tokens. */
export const sizeOfRecent = (tokens: number) => `maxCacheSize: ${16 * (tokens - 1) + 1}`;

/**
 * Least recently used: once a key head holds more than `maxCacheSize` tokens, it evicts those whose last use is the oldest; ties evict
 * the oldest token. A query uses a token if its attention probability exceeds `threshold`.
 */
export const lru: Factory<LeastUsedOptions, Policy> = definePolicy('lru', leastUsedEntries, checked => {
  const {maxCacheSize, threshold, refit, store} = checked;
  const {sinks, recent, budget} = sizesOf(maxCacheSize, checked.sinks);
  return {sinks, recent, recentOption: sizeOfRecent, keep: lastUsed({budget, threshold, refit}), store};
});
