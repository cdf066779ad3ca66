import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory, flag} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';

export interface HeaviestOptions extends BudgetOptions {
  /**
   * Divide a token's score by the number of queries that could see it, because early tokens are seen by more queries. `false` is the
   * paper's sum, which loses more on SmolLM2. Default true.
   */
  readonly normalize?: boolean;
}

/**
 * Keeps the heavy hitters (H2O, Zhang et al., 2023, arXiv 2306.14048): each key head keeps its tokens of the highest scores. The score
 * of a token is the sum of the attention probabilities that it received so far, over all queries and the query heads of its group, per query
 * that could see it.
 */
export const heaviest: Factory<HeaviestOptions, Keeper> = defineFactory(
  'heaviest',
  {...budgetEntries, normalize: v.optional(flag, true)},
  options => ({
    name: 'heaviest',
    options,
    ...limitsOf(options),
    observes: {statistic: 'mass'},
    score: ({attention, positions, tokensSeen}) =>
      options.normalize ? tf.div(attention, tf.sub(tokensSeen, positions)) : attention,
  }),
);
