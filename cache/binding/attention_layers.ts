import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {hasGraph, nodesByLayer} from './graph_nodes.js';
import type {CacheSource, CacheableModel, LayerShape} from './layer_shape.js';
import {atLeast} from '../../base/options.js';
import {membersOf} from './members.js';

/** One attention layer of a model. */
export interface AttentionLayer {
  readonly shape: LayerShape;
  /** The layer itself; absent if only its shape was given. */
  readonly layer?: object;
}

/** A layer that does not know its depth: its place among the attention layers of the model says it, once a cache is made. */
interface PlacedByCache {
  placeAt(depth: number): void;
}

/**
 * Returns the attention layers of a model, sorted by depth. Those that know no depth get one: in their order, what the others leave.
 *
 * @throws InvalidArgumentError if there is none, if depths are missing or repeated, or if the model applies a layer more than once: the
 *   one past of that depth would count each token several times.
 */
export function attentionLayers(model: CacheableModel | readonly LayerShape[]): AttentionLayer[] {
  const found = isModel(model) ? placed(layersIn(model)) : layersOfShapes(model);
  found.sort((a, b) => a.shape.depth - b.shape.depth);
  if (found.length === 0) {
    throw new InvalidArgumentError(
      'This model has no attention layer with a cache; build it with the layers of eigenkv, or attach a cache to it.',
    );
  }
  found.forEach(({shape: {depth}}, index) => {
    if (depth !== index) {
      throw new InvalidArgumentError(
        `The depths of the model's attention layers are ${found.map(({shape}) => shape.depth).join(', ')}; expected 0, 1, 2 and so on, each once.`,
      );
    }
  });
  return found;
}

/** Returns the shapes of a model's attention layers, sorted by depth. */
export function layerShapes(model: CacheableModel | readonly LayerShape[]): LayerShape[] {
  return attentionLayers(model).map(({shape}) => shape);
}

const shapeSchema = v.looseObject({
  depth: atLeast(0),
  heads: atLeast(1),
  kvHeads: atLeast(1),
  dim: atLeast(1),
  dimV: atLeast(1),
  window: v.optional(atLeast(1)),
});

/** @param seen see `membersOf`. */
function layersIn(model: CacheableModel, seen?: Set<object>): AttentionLayer[] {
  const nodes = hasGraph(model) ? nodesByLayer(model) : undefined;
  return model.layers.flatMap(layer => {
    const found = attentionOf(layer, seen ?? new Set([layer]));
    const times = nodes?.get(layer)?.length ?? 1;
    if (found.length > 0 && times > 1) throw appliedAgain(layer, times);
    return found;
  });
}

/** The layer, or the attention in a model that it is, or among its members if it is a block. */
function attentionOf(layer: object, seen: Set<object>): AttentionLayer[] {
  if ('layerShape' in layer) return [{shape: layer.layerShape as LayerShape, layer}];
  if (isModel(layer)) return layersIn(layer, seen);
  return membersOf(layer, seen).flatMap(member => attentionOf(member, seen));
}

function placed(found: readonly AttentionLayer[]): AttentionLayer[] {
  const taken = new Set(found.filter(({layer}) => !isPlacedByCache(layer)).map(({shape}) => shape.depth));
  let next = 0;
  return found.map(({shape, layer}) => {
    if (!isPlacedByCache(layer)) return {shape, layer};
    while (taken.has(next)) next++;
    const depth = next++;
    layer.placeAt(depth);
    return {shape: {...shape, depth}, layer};
  });
}

const isPlacedByCache = (layer: object | undefined): layer is PlacedByCache =>
  layer !== undefined && 'placeAt' in layer && typeof layer.placeAt === 'function';

/** Plain JavaScript callers may pass any value. */
function layersOfShapes(given: unknown): AttentionLayer[] {
  if (Array.isArray(given) && given.every(isLayerShape)) return given.map(shape => ({shape}));
  throw new InvalidArgumentError(
    `A cache needs a model with layers, or layer shapes as uniformShapes() makes them, with whole numbers as sizes and heads a multiple of kvHeads; got ${shown(given)}.`,
  );
}

function isLayerShape(shape: unknown): shape is LayerShape {
  return v.is(shapeSchema, shape) && shape.heads % shape.kvHeads === 0;
}

/**
 * Returns the model, or the layer shapes, of what a cache is made of.
 * @throws InvalidArgumentError if the model was disposed of.
 */
export function modelOf(source: CacheSource): CacheableModel | readonly LayerShape[] {
  const given: unknown = source; // plain JavaScript callers may pass any value
  const holdsOne = typeof given === 'object' && given !== null && 'model' in given && !isModel(given);
  const model = holdsOne && isModel(given.model) ? given.model : (source as CacheableModel);
  expectNotDisposed(model);
  return model;
}

/**
 * @param model a `tf.LayersModel` or anything else, which nobody disposes of.
 * @throws InvalidArgumentError if the model was disposed of: its weights are gone.
 */
export function expectNotDisposed(model: object): void {
  // tfjs has no public way to ask: the count is 1 for a new model, and 0 once `dispose` has freed its weights
  if (!isModel(model) || !('_refCount' in model) || model._refCount !== 0) return;
  const name = 'name' in model ? ` "${String(model.name)}"` : '';
  throw new InvalidArgumentError(
    `This model${name} was disposed of, so its weights are gone: load or build it again, and dispose of it (or leave the block of ` +
      '`using`) after its last use.',
  );
}

/** Whether a value has `layers`, as models do, nested ones included. */
export function isModel(layer: unknown): layer is CacheableModel {
  return typeof layer === 'object' && layer !== null && 'layers' in layer && Array.isArray(layer.layers);
}

function appliedAgain(layer: object, times: number): InvalidArgumentError {
  const name = 'name' in layer ? ` "${String(layer.name)}"` : '';
  return new InvalidArgumentError(
    `This model applies its layer${name} ${times} times, but a cache has one past for each depth: give each application its own ` +
      'attention layer and depth (with equal weights, if they are shared), or use the model without a cache.',
  );
}
