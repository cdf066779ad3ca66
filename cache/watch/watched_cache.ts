import * as tf from '@tensorflow/tfjs';
import type {AttentionCache} from '../attention_cache.js';
import type {FreshTokens} from '../past/fresh_tokens.js';
import {RopeTables} from '../past/rope_tables.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {Rotation} from '../../ops/rotate/index.js';
import {attendedKeys} from '../past/attend_past.js';
import {latentKeysOf} from '../past/fresh_tokens.js';

/** The fresh tokens of one depth as a watcher sees them: float32, queries and keys **not** rotated. */
export interface SeenTokens extends Omit<FreshTokens, 'keyBasis' | 'keyMean'> {
  /** `[batch, kvHeads, tokens, dim]` as attended before rotation: rebuilt from their basis if the layer gives latents. */
  readonly keys: tf.Tensor4D;
  /** The basis and mean of the layer's latents; absent if it gives keys. */
  readonly latentsOf?: Pick<FreshTokens, 'keyBasis' | 'keyMean'>;
  /** The position of the first fresh token. */
  readonly start: number;
  /** The rotation of queries and keys by their positions, for `rotate`; absent if the model has no rotary positions. */
  readonly rotation?: Rotation;
}

/** Observes the attention of a model while it runs. */
export interface Watcher {
  /**
   * Called once for each depth and step, inside a tidy that frees all tensors made here unless the watcher keeps them.
   * @param output the attention output, float32 `[batch, heads, tokens, dimV]`.
   */
  see(depth: number, fresh: SeenTokens, output: tf.Tensor4D): void;
}

/**
 * Wraps a cache and shows all fresh tokens and attention outputs to watchers. It changes none of them.
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
    const start = this.cache.tokens; // of the whole model: deeper depths do not hold the fresh tokens yet
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

  /** Most models have one rotary config for all layers, so the last table is reused until the config changes. */
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
  const latentKeys = latentKeysOf({keyBasis, keyMean}, fresh.keys.shape[0], undefined);
  if (latentKeys === undefined) return fresh;
  const {keys} = fresh;
  const whole = attendedKeys({kind: 'dense', dim: keys.shape[3], data: keys}, {scale: 1, latentKeys});
  return {
    ...fresh,
    keys: decodeEncoding(whole, 0, keys.shape[2]),
    latentsOf: {keyBasis, keyMean},
  };
}
