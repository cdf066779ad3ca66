import * as v from 'valibot';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Budget, Keeper} from '../contract.js';
import {budgetOf} from './budget.js';

export interface WindowOptions {
  /** Tokens (or bytes) that stay before the recent ones. Default 480. */
  readonly budget?: Budget;
}

/** The newest tokens stay, the oldest go: the window of StreamingLLM (Xiao et al., 2023, arXiv 2309.17453). */
export const window: Factory<WindowOptions, Keeper> = defineFactory(
  'window',
  {budget: v.optional(budgetOf(0), 480)},
  options => ({name: 'window', options, budget: options.budget}),
);
