import * as tf from '@tensorflow/tfjs';
import type {AttentionCache} from '../attention_cache.js';
import type {FreshTokens} from '../past/fresh_tokens.js';
import {RopeTables} from '../past/rope_tables.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {Rotation} from '../../ops/rotate/index.js';
import {attendedKeys} from '../past/attend_past.js';
import {latentKeysOf} from '../past/fresh_tokens.js';

/** What a watcher sees of the fresh tokens of one depth: float32, queries and keys **not** rotated. */
export interface SeenTokens extends Omit<FreshTokens, 'keyBasis' | 'keyMean'> {
  /** Keys as queries meet them: rebuilt, where the layer hands over latents. */
  readonly keys: tf.Tensor4D;
  /** What the layer's keys are latents of; absent where it hands over keys. */
  readonly latentsOf?: Pick<FreshTokens, 'keyBasis' | 'keyMean'>;
  /** The position of the first of them. */
  readonly start: number;
  /** What `rotate` turns queries and keys to their positions with; absent where the model has no rotary positions. */
  readonly rotation?: Rotation;
}

/** Looks on while a model runs. */
export interface Watcher {
  /**
   * Called once for each depth and step, inside a tidy: tensors are the model's, and what shall last is kept by the watcher.
   * @param output what the attention gave: float32 `[batch, heads, tokens, dimV]`.
   */
  see(depth: number, fresh: SeenTokens, output: tf.Tensor4D): void;
}

/**
 * Stands between a model and its cache, and shows watchers all that passes. Nothing that passes is changed.
 *
 *     const watched = new WatchedCache(cache, [grams]);
 *     model.apply(ids, {cache: watched});
 *     watched.dispose();   // not the cache, nor the watchers: they are the caller's
 */
export class WatchedCache implements AttentionCache {
  private ropes: RopeTables | undefined;

  constructor(
    private readonly cache: AttentionCache,
    private readonly watchers: readonly Watcher[],
  ) {}

  get tokens(): number {
    return this.cache.tokens;
  }

  get beyondContext(): boolean {
    return this.cache.beyondContext ?? false;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const start = this.cache.tokens; // of the whole model: the depths behind this one still lack the fresh tokens
    return tf.tidy(() => {
      const output = this.cache.attend(depth, fresh);
      const rotation = this.rotationOf(fresh, start);
      const seen = {...rebuilt(fresh), start, rotation};
      for (const watcher of this.watchers) watcher.see(depth, seen, output);
      return output;
    });
  }

  /** Frees the tables of rotary positions. */
  dispose(): void {
    this.ropes?.dispose();
    this.ropes = undefined;
  }

  /** The layers of a model share one config, so that one table serves until another comes. */
  private rotationOf({rope, queries}: FreshTokens, start: number): Rotation | undefined {
    if (rope === undefined) return undefined;
    const [, , tokens, dim] = queries.shape;
    if (this.ropes?.dim !== dim || JSON.stringify(this.ropes.config) !== JSON.stringify(rope)) {
      this.dispose();
      this.ropes = new RopeTables(rope, dim);
    }
    return this.ropes.rotation(start, tokens);
  }
}

function rebuilt({keyBasis, keyMean, ...fresh}: FreshTokens): Omit<SeenTokens, 'start'> {
  const latentKeys = latentKeysOf({...fresh, keyBasis, keyMean}, undefined);
  if (latentKeys === undefined) return fresh;
  const {keys} = fresh;
  const whole = attendedKeys({kind: 'dense', dim: keys.shape[3], data: keys}, {scale: 1, latentKeys});
  return {
    ...fresh,
    keys: decodeEncoding(whole, 0, keys.shape[2]),
    latentsOf: {keyBasis, keyMean},
  };
}
