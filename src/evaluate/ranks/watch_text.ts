import type {AttentionCache} from '../../../cache/attention_cache.js';
import * as tf from '@tensorflow/tfjs';
import {waitingEvents} from '../../../models/generate/event_loop.js';
import {WatchedCache, type Watcher} from '../../../cache/watch/watched_cache.js';

/** How a long run over texts tells how far it is, and how it ends early. */
export interface ProgressOptions {
  /** Tokens done, of all texts. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

interface WatchTextOptions {
  /** Tokens that go through at a time. */
  readonly step: number;
  readonly cache: AttentionCache;
  readonly watchers: readonly Watcher[];
  /** Told of the tokens of each step; what it throws ends the run. */
  readonly afterStep: (tokens: number) => Promise<void>;
}

/** Sends a text through a model and its cache before the eyes of watchers. Nobody needs the logits. */
export async function watchText(
  model: tf.LayersModel,
  ids: readonly number[],
  {step, cache, watchers, afterStep}: WatchTextOptions,
): Promise<void> {
  const watched = new WatchedCache(cache, watchers);
  try {
    for (let start = 0; start < ids.length; start += step) {
      const fresh = ids.slice(start, start + step);
      tf.tidy(() => {
        const input = tf.tensor2d(fresh, [1, fresh.length], 'int32');
        model.apply(input, {cache: watched, lastTokenOnly: true});
      });
      await afterStep(fresh.length);
    }
  } finally {
    watched.dispose();
  }
}

/** An `afterStep` that counts tokens, and lets a progress bar and an abort in. */
export function countSteps(
  total: number,
  onProgress: ProgressOptions['onProgress'],
  signal: ProgressOptions['signal'],
): (tokens: number) => Promise<void> {
  let done = 0;
  return async tokens => {
    done += tokens;
    onProgress?.({done, total});
    await waitingEvents();
    signal?.throwIfAborted();
  };
}
