import type * as tf from '@tensorflow/tfjs';
import type {AttentionCache, FreshTokens, KVCache} from '../../cache/index.js';
import {segmentsOf} from '../../cache/past/past.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {hostSegment, rotated} from './host_rows.js';

/** The difference between what a cache holds and what was appended, over all depths and heads. */
export interface Drift {
  /** Tokens that were compared, over all depths and key heads. */
  readonly tokens: number;
  /** The largest difference of a key from the logged one rotated to its position in float64, by the largest key. */
  readonly keys: number;
  /** The largest difference of a value from the logged one: 0 if values are stored exactly. */
  readonly values: number;
}

/** What came in at one depth: keys (not rotated) and values by position, `[kvHeads, dim]` each. */
interface LoggedDepth {
  readonly keys: Map<number, Float32Array>;
  readonly values: Map<number, Float32Array>;
  rope?: RopeConfig;
}

/**
 * Stands between a model and a cache of evicting policies, and writes down all keys and values on the host as they come in,
 * one text at a time. `compare` recomputes from that log what the cache must hold. Log and cache share no code but the
 * frequencies of the rotation.
 */
export class TokenLog implements AttentionCache {
  private readonly depths: LoggedDepth[] = [];

  constructor(private readonly cache: KVCache) {}

  get tokens(): number {
    return this.cache.tokens;
  }

  get beyondContext(): boolean {
    return this.cache.beyondContext;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const first = this.cache.tokensSeen(depth);
    const logged = (this.depths[depth] ??= {keys: new Map(), values: new Map()});
    if (fresh.rope) logged.rope = fresh.rope;
    write(logged.keys, fresh.keys, first);
    write(logged.values, fresh.values, first);
    return this.cache.attend(depth, fresh);
  }

  /**
   * Compares all that the cache holds with the log, and forgets what no head holds any more.
   * @throws Error if a depth holds a token twice, one that never came, or one that was evicted before.
   */
  async compare(): Promise<Drift> {
    let tokens = 0;
    let [keyDifference, valueDifference, largestKey] = [0, 0, 0];
    for (const [depth, logged] of this.depths.entries()) {
      const past = this.cache.past(depth)!;
      const held = new Set<number>();
      const ofHead = Array.from({length: past.recent.keys.data.shape[1]}, () => new Set<number>());
      for (const segment of segmentsOf(past)) {
        const {positions, keys, values} = await hostSegment(segment);
        for (const [head, rows] of positions.entries()) {
          for (const [row, position] of rows.entries()) {
            const cameIn = logged.keys.get(position);
            if (cameIn === undefined || ofHead[head]!.has(position)) {
              throw new Error(
                `depth ${depth}, head ${head} holds position ${position} twice, or never got it`,
              );
            }
            ofHead[head]!.add(position);
            held.add(position);
            tokens++;
            const dim = keys.dim;
            const key = rotated(cameIn.subarray(head * dim, (head + 1) * dim), position, logged.rope);
            keyDifference = Math.max(keyDifference, difference(keys.row(head, row), key));
            largestKey = key.reduce((most, x) => Math.max(most, Math.abs(x)), largestKey);
            const value = logged.values.get(position)!.subarray(head * values.dim, (head + 1) * values.dim);
            valueDifference = Math.max(valueDifference, difference(values.row(head, row), value));
          }
        }
      }
      for (const position of [...logged.keys.keys()]) {
        if (held.has(position)) continue;
        logged.keys.delete(position);
        logged.values.delete(position);
      }
    }
    return {tokens, keys: keyDifference / largestKey, values: valueDifference};
  }
}

function write(log: Map<number, Float32Array>, fresh: tf.Tensor4D, first: number): void {
  const [batch, heads, tokens, dim] = fresh.shape;
  if (batch !== 1) throw new Error('the log is of one text');
  const numbers = hostNumbers(fresh);
  for (let token = 0; token < tokens; token++) {
    const row = new Float32Array(heads * dim);
    for (let head = 0; head < heads; head++) {
      const at = (head * tokens + token) * dim;
      row.set(numbers.subarray(at, at + dim), head * dim);
    }
    log.set(first + token, row);
  }
}

/** The largest difference of two rows; NaN if a number is NaN. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i]! - b[i]!);
    if (!(apart <= most)) most = apart;
  }
  return most;
}
