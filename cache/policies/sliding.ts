import * as v from 'valibot';
import {type Factory, atLeast} from '../../base/options.js';
import {asStore} from '../codecs/as_store.js';
import type {Policy} from '../contract.js';
import {window as windowKeeper} from '../keepers/window.js';
import {type StoreOptions, definePolicy, storeEntries} from './define.js';

export interface SlidingOptions extends StoreOptions {
  /** Last tokens that stay. Default 508. */
  readonly window?: number;
  /** Of these the last that stay exact, if `store` says how the others are stored. Default 32, or the window if that is less. */
  readonly recent?: number;
}

const entries = {window: v.optional(atLeast(1), 508), recent: v.optional(atLeast(0), 32), ...storeEntries};

/**
 * Attention sinks and a window (StreamingLLM, Xiao et al., 2023, arXiv 2309.17453): the first `sinks` tokens and the last
 * `window` stay, at their own positions; all between is gone. The window moves some tokens at a time: less than a
 * sixteenth of it, its oldest, go early.
 */
export const sliding: Factory<SlidingOptions, Policy> = definePolicy('sliding', entries, checked => {
  const {window, sinks, store} = checked;
  const recent = Math.min(checked.recent, window);
  return {
    sinks,
    recent,
    keep: windowKeeper({budget: window - recent}),
    store: window > recent ? store : asStore('dense'),
  };
});
