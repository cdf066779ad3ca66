import * as v from 'valibot';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Budget, Keeper} from '../contract.js';
import {budgetOf} from './budget.js';
import {type RefitOptions, limitsOf, refitEntries} from './options.js';

export interface WindowOptions extends RefitOptions {
  /** The most that stays before the recent tokens: tokens, or bytes per text and depth, such as `'64kB'`. Default 480. */
  readonly budget?: Budget;
}

/** Keeps the newest tokens and evicts the oldest: the window of StreamingLLM (Xiao et al., 2023, arXiv 2309.17453). */
export const window: Factory<WindowOptions, Keeper> = defineFactory(
  'window',
  {budget: v.optional(budgetOf(0), 480), ...refitEntries},
  options => ({name: 'window', options, ...limitsOf(options)}),
);
