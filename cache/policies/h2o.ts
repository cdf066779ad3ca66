import * as v from 'valibot';
import {type Factory, atLeast, flag} from '../../base/options.js';
import type {Budget, Policy} from '../contract.js';
import {budgetOf} from '../keepers/budget.js';
import {heaviest} from '../keepers/heaviest.js';
import {type RefitOptions, refitEntries} from '../keepers/options.js';
import {type StoringOptions, definePolicy, storeEntries} from './define.js';

export interface H2oOptions extends StoringOptions, RefitOptions {
  /**
   * Heavy hitters that stay: tokens per key head, the `sinks` included, or bytes per text and depth, such as `"64kB"`, the `sinks`
   * not included. Default 256.
   */
  readonly heavyBudget?: Budget;
  /** Last tokens that stay exact. Default 256. */
  readonly recentBudget?: number;
  /** Divide a token's attention by the number of queries that could see it. `false` is the paper's sum, which loses more. Default true. */
  readonly normalize?: boolean;
}

const entries = {
  heavyBudget: v.optional(budgetOf(1), 256),
  recentBudget: v.optional(atLeast(1), 256),
  normalize: v.optional(flag, true),
  ...refitEntries,
  ...storeEntries,
};

/**
 * Heavy-hitter oracle (H2O, Zhang et al., 2023, arXiv 2306.14048): each key head keeps the `heavyBudget` tokens that received the most
 * attention so far per query that could see them, and the last `recentBudget` tokens. The first `sinks` tokens count as heavy. Tokens are evicted several at a time:
 * less than a sixteenth of the heavy ones, those of the lowest scores, leave early.
 */
export const h2o: Factory<H2oOptions, Policy> = definePolicy('h2o', entries, checked => {
  const {heavyBudget, recentBudget, normalize, refit, store} = checked;
  const sinks = typeof heavyBudget === 'number' ? Math.min(checked.sinks, heavyBudget - 1) : checked.sinks;
  const budget = typeof heavyBudget === 'number' ? heavyBudget - sinks : heavyBudget;
  return {
    ...{sinks, recent: recentBudget, recentOption: tokens => `recentBudget: ${tokens}`},
    ...{keep: heaviest({budget, normalize, refit}), store},
  };
});
