import * as v from 'valibot';
import type {Budget} from '../contract.js';
import {budgetOf} from './budget.js';

/** Options of keepers that can also cut a prompt. */
export interface BudgetOptions {
  /**
   * The most that stays: tokens per key head, or bytes per text and depth, such as `'64kB'`; `null` evicts nothing, for a cache that
   * `compressPrompt` cuts. Default 256.
   */
  readonly budget?: Budget | null;
}

export const budgetEntries = {budget: v.optional(v.nullable(budgetOf(1)), 256)};

/** A keeper's budget; undefined if it is `null`. */
export const limitOf = (budget: Budget | null): {budget?: Budget} => (budget === null ? {} : {budget});
