import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {keepTokens} from '../past/evict.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {Past, Segment} from '../past/past.js';
import type {Policy} from '../policy.js';
import {earlyTokens, keepSinks, withoutOldest} from '../past/segments.js';

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
    compress(inherited) {
      const past = inherited.held['heavy']
        ? sinksOfHeavy(inherited, inherited.held['heavy'], sinks)
        : inherited;
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

/** Where another plan evicted before: of what it kept only the first tokens stay, as each head's sinks. */
function sinksOfHeavy(past: Past, heavy: Segment, sinks: number): Past {
  const kept = Math.min(sinks, heavy.tokens);
  const evictedTokens = past.events.evictedTokens + heavy.tokens - kept;
  const positions = tf.squeeze<tf.Tensor3D>(heavy.positions, [3]);
  const held: Past['held'] =
    kept === 0 ? {} : {sinks: keepTokens(heavy, tf.topk(tf.neg(positions), kept).indices)};
  return {...past, held, events: {...past.events, evictedTokens}};
}
