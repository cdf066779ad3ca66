import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import {WatchedCache, type Watcher} from '../../cache/watch/watched_cache.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import type {DenseAttention} from '../adapters/index.js';

export interface WatchOptions {
  /** Tokens that go through the model at a time, where it takes a cache; else all at once. */
  readonly step: number;
  readonly watcher: Watcher;
  /** Told of the tokens of each step; what it throws ends the run. */
  readonly afterStep?: (tokens: number) => Promise<void>;
}

/** Shows a watcher the queries, keys and values of every attention layer, on the way of a text through a model. */
export async function watchFeatures(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  options: WatchOptions,
): Promise<void> {
  if (attentions.every(({layer}) => 'layerShape' in layer)) await watchCache(model, ids, options);
  else await watchInputs(model, attentions, ids, options);
}

/** Layers of eigenkv hand over what they attend with. */
async function watchCache(
  model: tf.LayersModel,
  ids: readonly number[],
  {step, watcher, afterStep}: WatchOptions,
): Promise<void> {
  const cache = new KVCache(model, {name: 'full'}, {expectedTokens: ids.length});
  const watched = new WatchedCache(cache, [watcher]);
  try {
    for (let start = 0; start < ids.length; start += step) {
      const fresh = ids.slice(start, start + step);
      tf.tidy(() => {
        const input = tf.tensor2d(fresh, [1, fresh.length], 'int32');
        model.apply(input, {cache: watched, lastTokenOnly: true});
      });
      await afterStep?.(fresh.length);
    }
  } finally {
    watched.dispose();
    cache.dispose();
  }
}

/** Of other layers only the input is to be had: a model up to it, and projections of our own. */
async function watchInputs(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  {watcher, afterStep}: WatchOptions,
): Promise<void> {
  const outputs = attentions.map(({layer}) => inputOf(layer));
  const upTo = tf.model({inputs: model.inputs, outputs});
  const weights = await Promise.all(attentions.map(attention => attention.read()));
  tf.tidy(() => {
    const input = tf.tensor2d([...ids], [1, ids.length], model.inputs[0]!.dtype);
    const hidden = upTo.apply(input) as tf.Tensor | tf.Tensor[];
    const hiddens = Array.isArray(hidden) ? hidden : [hidden];
    attentions.forEach(({heads, kvHeads, headDim, rope}, depth) => {
      const {query, key, value, queryBias, keyBias, valueBias} = weights[depth]!;
      const x = tf.reshape<tf.Rank.R2>(hiddens[depth]!, [ids.length, -1]);
      const projected = (
        kernel: Float32Array,
        count: number,
        bias: Float32Array | undefined,
      ): tf.Tensor4D => {
        const flat = tf.matMul(x, tf.tensor2d(kernel, [x.shape[1], count * headDim]));
        const moved = bias === undefined ? flat : tf.add(flat, tf.tensor1d(bias));
        return tf.transpose(tf.reshape(moved, [1, ids.length, count, headDim]), [0, 2, 1, 3]);
      };
      const values = projected(value, kvHeads, valueBias);
      watcher.see(
        depth,
        {
          queries: projected(query, heads, queryBias),
          keys: projected(key, kvHeads, keyBias),
          values,
          start: 0,
          ...(rope && {rope, rotation: rotationFor(rope, headDim, 0, ids.length)}),
        },
        values,
      );
    });
  });
  await afterStep?.(ids.length);
}

function inputOf({input}: tf.layers.Layer): tf.SymbolicTensor {
  return Array.isArray(input) ? input[0]! : input;
}
