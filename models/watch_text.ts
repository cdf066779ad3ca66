import * as tf from '@tensorflow/tfjs';
import type {AttentionCache} from '../cache/attention_cache.js';
import {WatchedCache, type Watcher} from '../cache/watch/watched_cache.js';

export interface WatchTextOptions {
  /** Tokens per forward pass. */
  readonly chunk: number;
  /** Takes the tokens in; it stays the caller's. */
  readonly cache: AttentionCache;
  /** See what every attention layer attends with, and what it returns. */
  readonly watchers: readonly Watcher[];
  /** Called with the number of tokens of each pass. What it throws ends the run. */
  readonly afterChunk?: (tokens: number) => Promise<void>;
}

/** Runs a model over a text, chunk by chunk, and shows watchers what passes between its attention layers and the cache. */
export async function watchText(
  model: tf.LayersModel,
  ids: readonly number[],
  {chunk, cache, watchers, afterChunk}: WatchTextOptions,
): Promise<void> {
  const watched = new WatchedCache(cache, watchers);
  try {
    for (let start = 0; start < ids.length; start += chunk) {
      const fresh = ids.slice(start, start + chunk);
      tf.tidy(() => {
        const input = tf.tensor2d(fresh, [1, fresh.length], 'int32');
        model.apply(input, {cache: watched, lastTokenOnly: true}); // nobody needs the logits
      });
      await afterChunk?.(fresh.length);
    }
  } finally {
    watched.dispose();
  }
}
