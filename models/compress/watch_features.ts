import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import type {Watcher} from '../../cache/watch/watched_cache.js';
import {toHeads} from '../../layers/heads.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {type DenseAttention, type DenseWeights, replaceCall, takesCache} from '../adapters/index.js';
import {type WatchTextOptions, watchText} from '../watch_text.js';

export interface WatchOptions extends Pick<WatchTextOptions, 'chunk' | 'afterChunk'> {
  readonly watcher: Watcher;
}

/**
 * Runs a text through a model and shows a watcher the queries, keys and values of every attention layer. Layers that take a cache
 * get `chunk` tokens at a time; the text goes through others at once.
 */
export async function watchFeatures(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  {chunk, watcher, afterChunk}: WatchOptions,
): Promise<void> {
  if (!attentions.every(({layer}) => takesCache(layer))) {
    await watchInputs(model, attentions, ids, watcher);
    await afterChunk?.(ids.length);
    return;
  }
  const cache = new KVCache(model, {name: 'full'}, {expectedTokens: ids.length});
  try {
    await watchText(model, ids, {chunk, cache, watchers: [watcher], afterChunk});
  } finally {
    cache.dispose();
  }
}

/** Other people's layers show only their input: it is projected here once more. */
async function watchInputs(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  watcher: Watcher,
): Promise<void> {
  const weights = await Promise.all(attentions.map(attention => attention.read()));
  const undos = attentions.map((attention, depth) =>
    replaceCall(attention.layer, original => (inputs, kwargs) => {
      tf.tidy(() => project(attention, weights[depth]!, [inputs].flat()[0]!, depth, watcher));
      return original(inputs, kwargs);
    }),
  );
  try {
    tf.tidy(() => void model.apply(tf.tensor2d([...ids], [1, ids.length], model.inputs[0]!.dtype)));
  } finally {
    undos.forEach(undo => undo());
  }
}

function project(
  {heads, kvHeads, headDim, rope, scale, window, softCap, alibi}: DenseAttention,
  {query, key, value, queryBias, keyBias, valueBias}: DenseWeights,
  x: tf.Tensor,
  depth: number,
  watcher: Watcher,
): void {
  const [, tokens = 0, dim = 0] = x.shape;
  const projection = (kernel: Float32Array, count: number, bias: Float32Array | undefined) => ({
    matrix: tf.tensor2d(kernel, [dim, count * headDim]),
    bias: bias && tf.tensor1d(bias),
    heads: count,
  });
  const [queries, keys, values] = toHeads(x, [
    projection(query, heads, queryBias),
    projection(key, kvHeads, keyBias),
    projection(value, kvHeads, valueBias),
  ]) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const rotation = rope && rotationFor(rope, headDim, 0, tokens);
  const scoring = {scale, window: window === Infinity ? undefined : window, softCap, alibi};
  watcher.see(depth, {queries, keys, values, start: 0, rope, rotation, ...scoring}, values);
}
