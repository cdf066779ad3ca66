import * as tf from '@tensorflow/tfjs';
import type {AttentionCache, CacheRow} from '../../cache/kv_cache.js';
import {cachedAttention} from '../../layers/cached_attention.js';
import type {CallArgs} from '../../layers/layer_args.js';
import {ContextLengthError, InvalidArgumentError, ModelError} from '../../ops/errors.js';
import {
  type DenseAttention,
  attentionAdapterNames,
  describeAttention,
  isAttention,
} from '../compress/adapters/index.js';
import {type PositionAdapter, positionAdapterOf} from './position_adapters.js';

/** What was done to a model's layers. */
export interface AttachedLayers {
  /** Tokens that the attention layers can attend to, where they have a limit. */
  readonly contextLength: number;
  /** Makes them as they were. */
  undo(): void;
}

/** Layers that know already: they are left alone when another cache is attached. */
const attached = new WeakSet<tf.layers.Layer>();

/**
 * Teaches the layers of a model what to do where `apply` is given a cache.
 * @throws ModelError where there is no attention, or one that no adapter knows.
 */
export function attachLayers(model: tf.LayersModel): AttachedLayers {
  const layers = layersOf(model);
  const attentions = attentionsOf(layers);
  const contextLength = Math.min(...attentions.map(({attention}) => attention?.contextLength ?? Infinity));
  const fresh = layers.filter(layer => !attached.has(layer));
  const undos = [
    ...attentions.flatMap(({layer, attention}, depth) =>
      attention === undefined ? [] : [attachAttention(layer, attention, depth, contextLength)],
    ),
    ...fresh.flatMap(layer => {
      const adapter = positionAdapterOf(layer);
      return adapter === undefined ? [] : [attachPositions(layer, adapter, contextLength)];
    }),
  ];
  return {contextLength, undo: () => undos.forEach(undo => undo())};
}

/** The layers of a model and of the models inside it, in their order. */
function layersOf(model: tf.LayersModel): tf.layers.Layer[] {
  return model.layers.flatMap(layer => (layer instanceof tf.LayersModel ? layersOf(layer) : [layer]));
}

/** An attention layer, and how its adapter describes it; nothing where it takes a cache already. */
interface FoundAttention {
  readonly layer: tf.layers.Layer;
  readonly attention?: Required<Pick<DenseAttention, 'parts'>> & DenseAttention;
}

/** The attention layers in the order of the model. */
function attentionsOf(layers: readonly tf.layers.Layer[]): FoundAttention[] {
  const found = layers.flatMap((layer): FoundAttention | [] => {
    if ('cacheRow' in layer) return {layer};
    const attention = describeAttention(layer);
    if (attention === undefined) return [];
    const {parts} = attention;
    if (parts !== undefined) return {layer, attention: {...attention, parts}};
    throw new ModelError(
      `The adapter of layer "${layer.name}" (${layer.getClassName()}) does not say how the layer projects: its description has ` +
        'no "parts". docs/guides/adapters.md says what they are.',
    );
  });
  const strangers = layers.filter(layer => isAttention(layer) && !found.some(known => known.layer === layer));
  if (found.length > 0 && strangers.length === 0) return found;
  throw new ModelError(
    (strangers.length > 0
      ? `No adapter knows the attention layers ${listed(strangers)}.`
      : `No adapter knows an attention layer among those of the model: ${listed(layers)}.`) +
      ` There are adapters for ${attentionAdapterNames().join(', ')}; docs/guides/adapters.md shows how to write one, a screen ` +
      'long, for registerAttentionAdapter.',
  );
}

/** Names and classes, as errors show them. */
const listed = (layers: readonly tf.layers.Layer[]) =>
  layers.map(layer => `"${layer.name}" (${layer.getClassName()})`).join(', ');

function attachAttention(
  layer: tf.layers.Layer,
  {heads, kvHeads, headDim: dim, rope, parts}: Required<FoundAttention>['attention'],
  depth: number,
  contextLength: number,
): () => void {
  const row: CacheRow = {depth, heads, kvHeads, dim, dimV: dim};
  Object.defineProperty(layer, 'cacheRow', {value: row, configurable: true});
  const undo = replaceCall(layer, contextLength, (x, cache) => {
    const {queries, keys, values} = parts.project(x);
    return parts.output(cachedAttention(queries, keys, values, {cache, depth, rope, layer}));
  });
  return () => {
    Reflect.deleteProperty(layer, 'cacheRow');
    undo();
  };
}

function attachPositions(
  layer: tf.layers.Layer,
  {behind}: PositionAdapter,
  contextLength: number,
): () => void {
  return replaceCall(layer, contextLength, (x, {tokens: start}, original) => behind(x, start, original));
}

/**
 * A layer's call with a cache; without one it stays what it is.
 * @returns what undoes it.
 */
function replaceCall(
  layer: tf.layers.Layer,
  contextLength: number,
  withCache: (x: tf.Tensor, cache: AttentionCache, original: (x: tf.Tensor) => tf.Tensor) => tf.Tensor,
): () => void {
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const original = layer.call.bind(layer);
  layer.call = (inputs, kwargs: CallArgs) => {
    const {cache} = kwargs;
    if (cache === undefined) return original(inputs, kwargs);
    const x = onlyInput(layer, inputs);
    checkCall(layer, x, kwargs, cache, contextLength);
    return tf.tidy(() => withCache(x, cache, other => original([other], kwargs) as tf.Tensor));
  };
  attached.add(layer);
  return () => {
    attached.delete(layer);
    if (own === undefined) Reflect.deleteProperty(layer, 'call');
    else Object.defineProperty(layer, 'call', own);
  };
}

/** Attention over itself may be given the same tensor as query, key and value. */
function onlyInput(layer: tf.layers.Layer, inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  const [x, ...others] = Array.isArray(inputs) ? inputs : [inputs];
  if (x !== undefined && others.every(other => other === x)) return x;
  throw new ModelError(
    `Layer "${layer.name}" got ${others.length + 1} inputs that differ; only attention over the layer's own input takes a cache.`,
  );
}

function checkCall(
  layer: tf.layers.Layer,
  x: tf.Tensor,
  {mask}: CallArgs,
  {tokens: past, beyondContext}: AttentionCache,
  contextLength: number,
): void {
  if (mask !== undefined && mask !== null) {
    throw new InvalidArgumentError(
      `Layer "${layer.name}" got a padding mask (maskZero?); a cache takes texts without padding, one at a time or of equal length.`,
    );
  }
  const tokens = x.shape[1] ?? 0;
  if (past + tokens > contextLength && beyondContext !== true) {
    throw new ContextLengthError(
      `The model's context is ${contextLength} tokens; ${tokens} behind the ${past} of the cache were given. Shorten the text or ` +
        'start a new cache.',
    );
  }
}
