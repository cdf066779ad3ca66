import type {AttentionCache} from '../../cache/attention_cache.js';
import type {LayerShape} from '../../cache/binding/layer_shape.js';
import * as tf from '@tensorflow/tfjs';
import {type CallArgs, refuseMask} from '../../layers/layer_args.js';
import {grownQueries} from '../../layers/qk_norm.js';
import {InvalidArgumentError, ModelError, didYouMean} from '../../base/errors.js';
import {membersOf} from '../../cache/binding/members.js';
import {type ModelContext, checkContext, contextOf} from './context.js';
import {
  type AttentionParts,
  type DenseAttention,
  type FoundAttention,
  type LayerCall,
  type PlacedLayer,
  entryLayers,
  findAttention,
  nameOf,
  placedLayers,
  replaceCall,
  takesCache,
} from '../adapters/index.js';
import {type PositionAdapter, positionAdapterOf} from './position_adapters.js';

/** An attention layer of another package, as its adapter describes it. */
type KnownAttention = DenseAttention & {readonly parts: AttentionParts};

/** An attention layer of another package, and its `call` before it was replaced. */
export interface AttachedAttention extends PlacedLayer {
  readonly attention: KnownAttention;
  readonly original: LayerCall;
}

/** A model's layers with their calls replaced. */
export interface AttachedLayers {
  /** The layers beside attention, and beside blocks that have it. */
  readonly others: readonly tf.layers.Layer[];
  /** The model's input that gets the tokens. */
  readonly input: number;
  readonly attentions: readonly AttachedAttention[];
  readonly context: ModelContext;
  /** Restores the layers, except those that were attached before. */
  undo(): void;
}

/** Which layers get no cache, and which input gets the tokens. */
export interface AttachPlaces {
  readonly leave?: readonly string[];
  readonly input?: number;
}

/** The original `call` of each attached layer. A layer is attached once, for any number of caches. */
const originals = new WeakMap<tf.layers.Layer, LayerCall>();
/** Layers that check the length of their input. */
const entries = new WeakSet<tf.layers.Layer>();
/** Blocks that tell the attention among their members which cache they were given: they may call it without keyword arguments. */
const blocks = new WeakSet<tf.layers.Layer>();
const cachesOfBlocks: (AttentionCache | undefined)[] = [];
/** Layers that get no cache. */
const alone = new WeakSet<tf.layers.Layer>();

/**
 * Makes the layers of a model use the cache that `apply` is given.
 * @throws ModelError if there is no attention, or a layer that a cache cannot work with.
 */
export function attachLayers(
  model: tf.LayersModel,
  {leave = [], input = 0}: AttachPlaces = {},
): AttachedLayers {
  const all = placedLayers(model);
  const left = leftLayers(all, leave);
  const placed = all.filter(({layer}) => !left.has(layer) && !alone.has(layer));
  const found = findAttention(placed);
  const known = found.map(knownAttention);
  checkStateless(placed);
  const context = contextOf(model);
  const undos: (() => void)[] = [...left].map(withoutCache);
  for (const [depth, {layer, inside}] of found.entries()) {
    const attention = known[depth];
    if (attention === undefined || originals.has(layer)) continue;
    undos.push(attachAttention(layer, attention, depth, context));
    for (const block of inside) if (!blocks.has(block)) undos.push(attachBlock(block));
  }
  for (const {layer} of placed) {
    const adapter = positionAdapterOf(layer);
    if (adapter !== undefined && !originals.has(layer)) undos.push(attachPositions(layer, adapter, context));
  }
  if (undos.length > 0) {
    // layers of eigenkv check this themselves
    for (const layer of entryLayers(model, input))
      if (!entries.has(layer)) undos.push(attachEntry(layer, context));
  }
  const attentionBlocks = new Set(found.flatMap(({inside}) => inside));
  return {
    others: placed.map(({layer}) => layer).filter(layer => !takesCache(layer) && !attentionBlocks.has(layer)),
    input,
    attentions: found.flatMap((place, depth) => {
      const [attention, original] = [known[depth], originals.get(place.layer)];
      return attention === undefined || original === undefined ? [] : {...place, attention, original};
    }),
    context,
    undo: () => undos.reverse().forEach(undo => undo()),
  };
}

/**
 * What attention is computed with; undefined for a layer that takes a cache by itself.
 * @throws ModelError if an adapter does not say how its layer projects.
 */
function knownAttention({layer, attention}: FoundAttention): KnownAttention | undefined {
  const parts = attention?.parts;
  if (attention !== undefined && parts !== undefined) return {...attention, parts};
  if (takesCache(layer)) return undefined;
  throw new ModelError(
    `The adapter of layer ${nameOf(layer)} does not say how the layer projects: its description has no "parts". ` +
      'docs/guides/adapters.md says what they are.',
  );
}

/** @throws InvalidArgumentError for a name that no layer has, or of a layer that always takes a cache. */
function leftLayers(placed: readonly PlacedLayer[], leave: readonly string[]): Set<tf.layers.Layer> {
  const layers = placed.flatMap(({layer}) => [layer, ...membersOf(layer)]);
  return new Set(
    leave.map(name => {
      const layer = layers.find(other => other.name === name);
      if (layer !== undefined && (!takesCache(layer) || alone.has(layer))) return layer;
      throw new InvalidArgumentError(
        layer === undefined
          ? `leave names "${name}", and the model has no layer of this name.${didYouMean(
              name,
              layers.map(other => other.name),
            )}`
          : `leave names ${nameOf(layer)}, which is causal attention to its own input and takes a cache by itself.`,
      );
    }),
  );
}

/** Hides a cache from a layer, which would refuse or use it. */
function withoutCache(layer: tf.layers.Layer): () => void {
  if (alone.has(layer)) return () => undefined;
  alone.add(layer);
  const undo = replaceCall(
    layer,
    original => (inputs, kwargs) => original(inputs, {...kwargs, cache: undefined}),
  );
  return () => {
    alone.delete(layer);
    undo();
  };
}

function attachBlock(block: tf.layers.Layer): () => void {
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

function checkStateless(placed: readonly PlacedLayer[]): void {
  const stateful = placed.map(({layer}) => layer).filter(layer => layer.stateful);
  if (stateful.length === 0) return;
  throw new ModelError(
    `${stateful.map(nameOf).join(', ')} keep a state between calls, which a cache cannot fork, save or truncate. Make them with ` +
      'stateful: false.',
  );
}

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

function attachAttention(
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

function attachPositions(
  layer: tf.layers.Layer,
  {behind}: PositionAdapter,
  context: ModelContext,
): () => void {
  return withCache(layer, context, (x, {tokens: start}, original) => behind(x, start, original));
}

/** Refuses texts that are too long before anything is computed, with a cache and without one. */
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
