import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import type {SeenTokens, Watcher} from '../../cache/watch/watched_cache.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import type {RopeMode} from '../../layers/index.js';
import type {DenseAttention} from '../adapters/index.js';
import type {DepthBases} from './depth_bases.js';
import {TruncatedCache} from './truncated_cache.js';
import {watchFeatures} from './watch_features.js';

/** ||X - X'|| / ||X||, Frobenius. */
export interface MeasuredErrors {
  /** Of the causal scores before the softmax. */
  readonly keyError: number;
  /** Of V W_O. */
  readonly valueError: number;
  /** Of the attention's output behind W_O. */
  readonly outputError: number;
}

type Kept = Pick<FreshTokens, 'queries' | 'keys' | 'values' | 'rope'>;

/** The features of one short text, all depths, to try ranks on. `dispose` it. */
export class FeatureSample implements Watcher {
  private readonly features: Kept[] = [];

  /** Sends a text through a model, all at once. */
  static async of(
    model: tf.LayersModel,
    attentions: readonly DenseAttention[],
    ids: readonly number[],
  ): Promise<FeatureSample> {
    const sample = new FeatureSample();
    await watchFeatures(model, attentions, ids, {step: ids.length, watcher: sample});
    return sample;
  }

  see(depth: number, {queries, keys, values, rope}: SeenTokens): void {
    const keep = (x: tf.Tensor4D) => tf.keep(tf.clone(x));
    this.features[depth] = {
      queries: keep(queries),
      keys: keep(keys),
      values: keep(values),
      rope,
    };
  }

  /**
   * Relative errors of one depth, all tokens, its input exact and its keys and values as they come out of their latents.
   *
   * @param output W_O, `[heads * dim, model dim]`.
   */
  async errors(
    depth: number,
    bases: DepthBases,
    ropeMode: RopeMode,
    ranks: {readonly keys: number; readonly values: number},
    output: Float32Array,
  ): Promise<MeasuredErrors> {
    const fresh = this.features[depth]!;
    const [, heads, tokens, dim] = fresh.queries.shape;
    const row = {depth: 0, heads, kvHeads: fresh.keys.shape[1], dim, dimV: dim};
    const [exactCache, otherCache] = [new KVCache([row], {name: 'full'}), new KVCache([row], {name: 'full'})];
    const cache = new TruncatedCache(otherCache, [bases], ropeMode, new Map([[0, ranks]]));
    const errors = tf.tidy(() => {
      const truncated = cache.truncated(0, fresh);
      const kernel = tf.tensor2d(output, [heads * dim, output.length / (heads * dim)]);
      const behind = (x: tf.Tensor4D) =>
        tf.matMul(tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, heads * dim]), kernel);
      const valuesBehind = ({values}: Kept) => valueOutputs(values, heads, kernel);
      return tf.stack([
        relative(scoresOf(truncated, tokens), scoresOf(fresh, tokens)),
        relative(valuesBehind(truncated), valuesBehind(fresh)),
        relative(behind(otherCache.attend(0, truncated)), behind(exactCache.attend(0, fresh))),
      ]);
    });
    const [keyError = 0, valueError = 0, outputError = 0] = await errors.data<'float32'>();
    errors.dispose();
    for (const each of [cache, otherCache, exactCache]) each.dispose();
    return {keyError, valueError, outputError};
  }

  dispose(): void {
    for (const {queries, keys, values} of this.features) tf.dispose([queries, keys, values]);
    this.features.length = 0;
  }
}

function relative(x: tf.Tensor, exact: tf.Tensor): tf.Tensor {
  const length = (y: tf.Tensor) => tf.sqrt(tf.sum(tf.square(y)));
  return tf.divNoNan(length(tf.sub(x, exact)), length(exact));
}

/** Scores of every token with those before it and itself, zeros elsewhere: `[kvHeads, group * tokens, tokens]`. */
function scoresOf({queries, keys, rope}: Kept, tokens: number): tf.Tensor {
  const [, , , dim] = queries.shape;
  const kvHeads = keys.shape[1];
  const rotation = rope && rotationFor(rope, dim, 0, tokens);
  const turned = (x: tf.Tensor4D) => (rotation ? rotate(x, rotation) : x);
  const rows = tf.reshape<tf.Rank.R3>(turned(queries), [kvHeads, -1, dim]);
  const scores = batchedMatMul(rows, tf.reshape<tf.Rank.R3>(turned(keys), [kvHeads, tokens, dim]), {
    transposeB: true,
  });
  const positions = tf.range(0, tokens);
  const isPast = tf.lessEqual(tf.reshape(positions, [1, tokens]), tf.reshape(positions, [tokens, 1]));
  return tf.mul(tf.reshape(scores, [-1, tokens, tokens]), tf.cast(isPast, 'float32'));
}

/** V W_O of every query head: `[heads, tokens, model dim]`. */
function valueOutputs(values: tf.Tensor4D, heads: number, kernel: tf.Tensor2D): tf.Tensor {
  const [, kvHeads, tokens, dim] = values.shape;
  const group = heads / kvHeads;
  const ofHeads = tf.unstack(tf.reshape(values, [kvHeads, tokens, dim])) as tf.Tensor2D[];
  return tf.stack(
    Array.from({length: heads}, (_, head) =>
      tf.matMul(ofHeads[Math.floor(head / group)]!, tf.slice(kernel, [head * dim, 0], [dim, -1])),
    ),
  );
}
