import * as v from 'valibot';
import {atLeast, checkOptions} from '../options.js';
import type {Policy} from '../policy.js';
import {earlyTokens, keepSinks, withoutOldest} from '../segments.js';

const schema = v.strictObject({
  window: v.optional(atLeast(1), 508),
  sinks: v.optional(atLeast(0), 4),
});

export type SlidingOptions = v.InferInput<typeof schema>;

/**
 * Attention sinks and a window (StreamingLLM, Xiao et al., 2023, arXiv 2309.17453): the first `sinks` tokens and the last
 * `window` stay, at their own positions; all between is gone. The window moves some tokens at a time: less than a
 * sixteenth of it, its oldest, go early.
 */
export function sliding(options: SlidingOptions = {}): Policy {
  const checked = checkOptions('sliding', schema, options);
  const {window, sinks} = checked;
  return {
    name: 'sliding',
    options: checked,
    tokenBudget: sinks + window,
    compress(past) {
      if (past.recent.tokens <= window) return past;
      const started = keepSinks(past, sinks);
      const over = started.recent.tokens - window;
      if (over <= 0) return started;
      const dropped = over + earlyTokens(window);
      const evictedTokens = past.events.evictedTokens + dropped;
      return {
        ...started,
        recent: withoutOldest(started.recent, dropped),
        events: {...past.events, evictedTokens},
      };
    },
  };
}
