import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import type {AttentionCache} from '../../cache/attention_cache.js';
import type {LayerShape} from '../../cache/binding/layer_shape.js';
import {type CallArgs, refuseMask} from '../../layers/layer_args.js';
import {grownQueries} from '../../layers/qk_norm.js';
import {type AttentionParts, type DenseAttention, type LayerCall, replaceCall} from '../adapters/index.js';
import {type ModelContext, checkContext} from './context.js';
import type {PositionAdapter} from './position_adapters.js';

// What layers do once they are attached, and how that is undone.

/** An attention layer of another package, as its adapter describes it. */
export type KnownAttention = DenseAttention & {readonly parts: AttentionParts};

/** The original `call` of each attached layer. A layer is attached once, for any number of caches. */
const originals = new WeakMap<tf.layers.Layer, LayerCall>();
/** The `call` of an attached layer before it was attached; undefined of others. */
export const originalOf = (layer: tf.layers.Layer): LayerCall | undefined => originals.get(layer);
/** Layers that check the length of their input. */
const entries = new WeakSet<tf.layers.Layer>();
/** Blocks that tell the attention among their members which cache they were given: they may call it without keyword arguments. */
const blocks = new WeakSet<tf.layers.Layer>();
const cachesOfBlocks: (AttentionCache | undefined)[] = [];
/** Computes a layer's output for new tokens x `[batch, tokens, model dim]` as its adapter describes it, and adds them to the cache. */
export function attendWithCache(
  attention: KnownAttention,
  x: tf.Tensor,
  cache: AttentionCache,
  {depth, context, layer}: {readonly depth: number; readonly context: number; readonly layer?: object},
): tf.Tensor {
  const {rope, scale, softCap, alibi, relativeBias, queryGrowth, parts} = attention;
  const {queries, keys, values} = parts.project(x);
  const attended = cache.attend(depth, {
    queries: grownQueries(queries, queryGrowth, cache.tokens),
    ...{keys, values, rope, scale, softCap, alibi, layer},
    window: windowWithin(attention, context),
    relativeBias: relativeBias?.(),
  });
  return parts.output(attended, x);
}

/** A window as wide as the context excludes nothing. */
function windowWithin({window}: KnownAttention, context: number): number | undefined {
  return window !== undefined && window < context ? window : undefined;
}

export function attachAttention(
  layer: tf.layers.Layer,
  attention: KnownAttention,
  depth: number,
  context: ModelContext,
): () => void {
  const {heads, kvHeads, headDim: dim} = attention;
  const window = windowWithin(attention, context.tokens);
  const shape: LayerShape = {depth, heads, kvHeads, dim, dimV: dim, window};
  Object.defineProperty(layer, 'layerShape', {value: shape, configurable: true});
  const undo = withCache(layer, context, (x, cache) => {
    const most = cache.beyondContext === true ? Infinity : context.tokens;
    return attendWithCache(attention, x, cache, {depth, context: most, layer});
  });
  return () => {
    Reflect.deleteProperty(layer, 'layerShape');
    undo();
  };
}

export function attachPositions(
  layer: tf.layers.Layer,
  {behind}: PositionAdapter,
  context: ModelContext,
): () => void {
  return withCache(layer, context, (x, {tokens: start}, original) => behind(x, start, original));
}

/** Refuses texts that are too long before anything is computed, with a cache and without one. */
export function attachEntry(layer: tf.layers.Layer, context: ModelContext): () => void {
  if (entries.has(layer)) return () => undefined;
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
 * Replaces what a layer does with a cache, and nothing else.
 * @returns what restores the layer.
 */
function withCache(
  layer: tf.layers.Layer,
  context: ModelContext,
  call: (x: tf.Tensor, cache: AttentionCache, original: (x: tf.Tensor) => tf.Tensor) => tf.Tensor,
): () => void {
  const undo = replaceCall(layer, original => {
    originals.set(layer, original);
    return (inputs, kwargs) => {
      const cache = kwargs.cache ?? cachesOfBlocks.at(-1);
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

/** Self-attention may get the same tensor as query, key and value. */
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
      `Layer "${name}" got {training: true} with a cache, which has no dropout and no gradient; leave one of them out.`,
    );
  }
}

/** Lets the attention within a block know which cache the block was given. */
export function attachBlock(block: tf.layers.Layer): () => void {
  if (blocks.has(block)) return () => undefined;
  blocks.add(block);
  const undo = replaceCall(block, original => (inputs, kwargs) => {
    cachesOfBlocks.push(kwargs.cache ?? cachesOfBlocks.at(-1));
    try {
      return original(inputs, kwargs);
    } finally {
      cachesOfBlocks.pop();
    }
  });
  return () => {
    blocks.delete(block);
    undo();
  };
}
