import * as v from 'valibot';
import {type Factory, atLeast} from '../../base/options.js';
import {asStore} from '../codecs/as_store.js';
import type {Policy} from '../contract.js';
import {type RefitOptions, refitEntries} from '../keepers/options.js';
import {window as windowKeeper} from '../keepers/window.js';
import {type StoringOptions, definePolicy, storeEntries} from './define.js';

export interface SlidingOptions extends StoringOptions, RefitOptions {
  /** Last tokens that stay, besides the `sinks`. Default 508. */
  readonly window?: number;
  /** How many of these, the newest, stay exact if `store` is lossy. Default 32, or `window` if that is less. */
  readonly recent?: number;
}

const entries = {
  window: v.optional(atLeast(1), 508),
  recent: v.optional(atLeast(0), 32),
  ...refitEntries,
  ...storeEntries,
};

/**
 * Attention sinks and a window (StreamingLLM, Xiao et al., 2023, arXiv 2309.17453): the first `sinks` and the last `window` tokens
 * stay, at their original positions; all tokens between are evicted. The window moves several tokens at a time: its oldest, less than
 * a sixteenth, leave early.
 */
export const sliding: Factory<SlidingOptions, Policy> = definePolicy('sliding', entries, checked => {
  const {window, sinks, refit, store} = checked;
  const recent = Math.min(checked.recent, window);
  return {
    sinks,
    recent,
    recentOption: tokens =>
      Object.entries({window, recent: checked.recent})
        .filter(([, size]) => size < tokens)
        .map(([name]) => `${name}: ${tokens}`)
        .join(' and '),
    keep: windowKeeper({budget: window - recent, refit}),
    store: window > recent ? store : asStore('dense'),
  };
});
