import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory, probability} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';

export interface UsedOptions extends BudgetOptions {
  /** A query uses a token if its attention probability exceeds this, from 0 to 1. Default 0.01. */
  readonly threshold?: number;
}

export const usedEntries = {
  ...budgetEntries,
  threshold: v.optional(probability, 0.01),
};

/** Evicts the least recently used tokens (LRU); ties evict the oldest. A token's arrival counts as its first use. */
export const lastUsed: Factory<UsedOptions, Keeper> = defineFactory('lastUsed', usedEntries, options => ({
  name: 'lastUsed',
  options,
  ...limitsOf(options),
  observes: {statistic: 'lastUse', threshold: options.threshold},
  // relative to the newest position: added to a large number, the fraction that breaks ties would be lost in float32
  score: ({attention, positions, tokensSeen}) =>
    tf.add(tf.sub(attention, tokensSeen), tf.div(positions, tokensSeen)),
}));
