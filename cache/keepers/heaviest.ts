import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory, flag} from '../../base/options.js';
import type {Budget, Keeper} from '../contract.js';
import {budgetOf} from './budget.js';

export interface HeaviestOptions {
  /** Tokens (or bytes) that stay. Default 256. */
  readonly budget?: Budget;
  /**
   * Divide a score by the number of queries that could see the token. Early tokens gather more attention in more time. Default false.
   */
  readonly normalize?: boolean;
}

/**
 * Heavy hitters (H2O, Zhang et al., 2023, arXiv 2306.14048). The score of a token is the sum of the attention probabilities that it
 * got so far, over all queries and over the query heads of its group.
 */
export const heaviest: Factory<HeaviestOptions, Keeper> = defineFactory(
  'heaviest',
  {budget: v.optional(budgetOf(1), 256), normalize: v.optional(flag, false)},
  options => ({
    name: 'heaviest',
    options,
    budget: options.budget,
    observes: {statistic: 'mass'},
    score: ({attention, positions, tokensSeen}) =>
      options.normalize ? tf.div(attention, tf.sub(tokensSeen, positions)) : attention,
  }),
);
