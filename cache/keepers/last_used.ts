import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory, probability} from '../../base/options.js';
import type {Budget, Keeper} from '../contract.js';
import {budgetOf} from './budget.js';

export interface UsedOptions {
  /** Tokens (or bytes) that stay. Default 256. */
  readonly budget?: Budget;
  /** A token is used if the attention of a query to it exceeds this probability. Default 0.01. */
  readonly threshold?: number;
}

export const usedEntries = {
  budget: v.optional(budgetOf(1), 256),
  threshold: v.optional(probability, 0.01),
};

/** Least recently used tokens go (LRU); ties evict the oldest. A token was used when it came in. */
export const lastUsed: Factory<UsedOptions, Keeper> = defineFactory('lastUsed', usedEntries, options => ({
  name: 'lastUsed',
  options,
  budget: options.budget,
  observes: {statistic: 'lastUse', threshold: options.threshold},
  // counted from the newest position: beside a large number float32 has no room for the fraction that breaks ties
  score: ({attention, positions, tokensSeen}) =>
    tf.add(tf.sub(attention, tokensSeen), tf.div(positions, tokensSeen)),
}));
