import * as v from 'valibot';
import type {Budget, Keeper, Refit} from '../contract.js';
import {budgetOf} from './budget.js';

/** Options of every keeper. */
export interface RefitOptions {
  /**
   * Whether tokens that stay take over the attention and the values of those that are evicted, each those with keys like its own: see
   * `mergeTokens`. Needs values of which each token is encoded by itself: dense, float8 or integer, not `transform`. With `'leastSquares'` the
   * outputs of the newest 64 queries then say what their values should be (see `ridgeRegression`): only values that are exact change so.
   * Default false.
   */
  readonly refit?: Refit;
}

/** Options of keepers that can also cut a prompt. */
export interface BudgetOptions extends RefitOptions {
  /**
   * The most that stays: tokens per key head, or bytes per text and depth, such as `'64kB'`; `null` evicts nothing, for a cache that
   * `compressPrompt` cuts. Default 256.
   */
  readonly budget?: Budget | null;
}

/** The valibot schema of a `Refit`. */
export const refitOption = v.union(
  [v.boolean(), v.literal('leastSquares')],
  'expected true, false or "leastSquares"',
);

export const refitEntries = {refit: v.optional(refitOption, false)};

export const budgetEntries = {budget: v.optional(v.nullable(budgetOf(1)), 256), ...refitEntries};

/** What these options say of a keeper. It has no budget if that is `null`. */
export const limitsOf = ({
  budget,
  refit,
}: {
  readonly budget: Budget | null;
  readonly refit: Refit;
}): Pick<Keeper, 'budget' | 'refit'> => ({...(budget !== null && {budget}), ...(refit !== false && {refit})});
