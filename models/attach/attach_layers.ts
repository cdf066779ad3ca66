import type {AttentionCache} from '../../cache/attention_cache.js';
import type {LayerShape} from '../../cache/binding/layer_shape.js';
import * as tf from '@tensorflow/tfjs';
import {type CallArgs, refuseMask} from '../../layers/layer_args.js';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {type ModelContext, checkContext, contextOf} from './context.js';
import {type FoundAttention, type KnownAttention, findAttention} from '../adapters/find_attention.js';
import {type PlacedLayer, entryLayers, placedLayers} from './graph.js';
import {type PositionAdapter, positionAdapterOf} from './position_adapters.js';

/** A layer's `call`. */
export type LayerCall = (inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs) => tf.Tensor | tf.Tensor[];

/** An attention layer of somebody else, and what it did before. */
export interface AttachedAttention extends PlacedLayer {
  readonly attention: KnownAttention;
  readonly original: LayerCall;
}

/** What was done to a model's layers. */
export interface AttachedLayers {
  readonly placed: readonly PlacedLayer[];
  readonly attentions: readonly AttachedAttention[];
  readonly context: ModelContext;
  /** Makes them as they were; those that were attached before stay so. */
  undo(): void;
}

/** What layers did before: those that know caches already are left alone when another one is attached. */
const originals = new WeakMap<tf.layers.Layer, LayerCall>();
/** Layers that look at the length of their input. */
const entries = new WeakSet<tf.layers.Layer>();

/**
 * Teaches the layers of a model what to do where `apply` is given a cache.
 * @throws ModelError where there is no attention, or some that a cache cannot stand in for.
 */
export function attachLayers(model: tf.LayersModel): AttachedLayers {
  const placed = placedLayers(model);
  const found = findAttention(placed);
  const context = contextOf(model);
  const undos: (() => void)[] = [];
  for (const [depth, {layer, attention}] of found.entries()) {
    if (attention === undefined || originals.has(layer)) continue;
    undos.push(attachAttention(layer, attention, depth, context));
  }
  for (const {layer} of placed) {
    const adapter = positionAdapterOf(layer);
    if (adapter !== undefined && !originals.has(layer)) undos.push(attachPositions(layer, adapter, context));
  }
  if (undos.length > 0) {
    // layers of ours look by themselves
    for (const layer of entryLayers(model)) if (!entries.has(layer)) undos.push(attachEntry(layer, context));
  }
  return {
    placed,
    attentions: attachedOf(found),
    context,
    undo: () => undos.reverse().forEach(undo => undo()),
  };
}

const attachedOf = (found: readonly FoundAttention[]): AttachedAttention[] =>
  found.flatMap(({attention, ...place}) => {
    const original = originals.get(place.layer);
    return attention === undefined || original === undefined ? [] : {...place, attention, original};
  });

/** Attention as its adapter describes it, over a cache and into it: `[batch, tokens, model dim]` of x of the same shape. */
export function attendWithCache(
  {rope, scale, window, parts}: KnownAttention,
  x: tf.Tensor,
  cache: AttentionCache,
  {depth, context, layer}: {readonly depth: number; readonly context: number; readonly layer?: object},
): tf.Tensor {
  const attended = cache.attend(depth, {
    ...parts.project(x),
    rope,
    scale,
    layer,
    ...(window !== undefined && window < context && {window}), // a window as wide as the context is none
  });
  return parts.output(attended, x);
}

function attachAttention(
  layer: tf.layers.Layer,
  attention: KnownAttention,
  depth: number,
  context: ModelContext,
): () => void {
  const {heads, kvHeads, headDim: dim} = attention;
  const row: LayerShape = {depth, heads, kvHeads, dim, dimV: dim};
  Object.defineProperty(layer, 'layerShape', {value: row, configurable: true});
  const undo = withCache(layer, context, (x, cache) => {
    const most = cache.beyondContext === true ? Infinity : context.tokens;
    return attendWithCache(attention, x, cache, {depth, context: most, layer});
  });
  return () => {
    Reflect.deleteProperty(layer, 'layerShape');
    undo();
  };
}

function attachPositions(
  layer: tf.layers.Layer,
  {behind}: PositionAdapter,
  context: ModelContext,
): () => void {
  return withCache(layer, context, (x, {tokens: start}, original) => behind(x, start, original));
}

/** Texts that are too long are refused where they come in, before anything is computed of them; without a cache, too. */
function attachEntry(layer: tf.layers.Layer, context: ModelContext): () => void {
  entries.add(layer);
  const undo = replaceCall(layer, original => (inputs, kwargs) => {
    const [x] = Array.isArray(inputs) ? inputs : [inputs];
    checkContext(context, x?.shape[1] ?? 0, kwargs.cache);
    return original(inputs, kwargs);
  });
  return () => {
    entries.delete(layer);
    undo();
  };
}

/**
 * What a layer does with a cache; without one it stays what it is.
 * @returns what undoes it.
 */
function withCache(
  layer: tf.layers.Layer,
  context: ModelContext,
  call: (x: tf.Tensor, cache: AttentionCache, original: (x: tf.Tensor) => tf.Tensor) => tf.Tensor,
): () => void {
  const undo = replaceCall(layer, original => {
    originals.set(layer, original);
    return (inputs, kwargs) => {
      const {cache} = kwargs;
      if (cache === undefined) return original(inputs, kwargs);
      const x = onlyInput(layer, inputs);
      checkCall(layer, kwargs);
      checkContext(context, x.shape[1] ?? 0, cache);
      return tf.tidy(() => call(x, cache, other => original([other], kwargs) as tf.Tensor));
    };
  });
  return () => {
    originals.delete(layer);
    undo();
  };
}

/** @returns what puts the former call back. */
export function replaceCall(
  layer: tf.layers.Layer,
  replaced: (original: LayerCall) => LayerCall,
): () => void {
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  layer.call = replaced(layer.call.bind(layer));
  return () => {
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

function checkCall({name}: tf.layers.Layer, kwargs: CallArgs): void {
  refuseMask(kwargs, name);
  if (kwargs['training'] === true) {
    throw new InvalidArgumentError(
      `Layer "${name}" got {training: true} with a cache, over which nothing is dropped and nothing learned; leave one of them out.`,
    );
  }
}
