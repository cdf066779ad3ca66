import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {hasGraph, nodesByLayer} from './graph_nodes.js';
import type {CacheSource, CacheableModel, LayerShape} from './layer_shape.js';
import {atLeast} from '../../base/options.js';

/** One attention layer of a model. */
export interface AttentionLayer {
  readonly row: LayerShape;
  /** The layer itself; absent where only its row was given. */
  readonly layer?: object;
}

/**
 * The attention layers of a model, by depth.
 *
 * @throws InvalidArgumentError where there is none, depths are missing or doubled, or the model applies a layer more than once:
 *   a cache has one past for each depth, and would count each token as often.
 */
export function attentionLayers(model: CacheableModel | readonly LayerShape[]): AttentionLayer[] {
  const found = isModel(model) ? layersIn(model) : layersOfRows(model);
  found.sort((a, b) => a.row.depth - b.row.depth);
  if (found.length === 0) {
    throw new InvalidArgumentError(
      'This model has no attention layer that knows caches; build it with the layers of eigenkv, or attach a cache to it.',
    );
  }
  found.forEach(({row: {depth}}, index) => {
    if (depth !== index) {
      throw new InvalidArgumentError(
        `The depths of the model's attention layers are ${found.map(({row}) => row.depth).join(', ')}; expected 0, 1, 2 and so on, each once.`,
      );
    }
  });
  return found;
}

/** The rows of a model, by depth. */
export function layerShapes(model: CacheableModel | readonly LayerShape[]): LayerShape[] {
  return attentionLayers(model).map(({row}) => row);
}

const rowSchema = v.looseObject({
  depth: atLeast(0),
  heads: atLeast(1),
  kvHeads: atLeast(1),
  dim: atLeast(1),
  dimV: atLeast(1),
});

function layersIn(model: CacheableModel): AttentionLayer[] {
  const nodes = hasGraph(model) ? nodesByLayer(model) : undefined;
  return model.layers.flatMap(layer => {
    const found = 'layerShape' in layer ? [{row: layer.layerShape as LayerShape, layer}] : nested(layer);
    const times = nodes?.get(layer)?.length ?? 1;
    if (found.length > 0 && times > 1) throw appliedAgain(layer, times);
    return found;
  });
}

/** Callers of plain JavaScript give anything. */
function layersOfRows(given: unknown): AttentionLayer[] {
  if (Array.isArray(given) && given.every(isRow)) return given.map(row => ({row}));
  throw new InvalidArgumentError(
    `A cache is of a model with layers, or of rows such as uniformShapes() makes, whose sizes are whole numbers and whose heads a multiple of kvHeads; got ${shown(given)}.`,
  );
}

function isRow(row: unknown): row is LayerShape {
  return v.is(rowSchema, row) && row.heads % row.kvHeads === 0;
}

function nested(layer: object): AttentionLayer[] {
  return isModel(layer) ? layersIn(layer) : [];
}

/** The model or the shapes of what a cache is made of. */
export function modelOf(source: CacheSource): CacheableModel | readonly LayerShape[] {
  const given: unknown = source; // callers of plain JavaScript give anything
  const holdsOne = typeof given === 'object' && given !== null && 'model' in given && !isModel(given);
  return holdsOne && isModel(given.model) ? given.model : (source as CacheableModel);
}

/** Whether this has layers, as a model does, or a model inside it. */
export function isModel(layer: unknown): layer is CacheableModel {
  return typeof layer === 'object' && layer !== null && 'layers' in layer && Array.isArray(layer.layers);
}

function appliedAgain(layer: object, times: number): InvalidArgumentError {
  const name = 'name' in layer ? ` "${String(layer.name)}"` : '';
  return new InvalidArgumentError(
    `This model applies its layer${name} ${times} times, and a cache has one past for each depth: give each application an attention ` +
      'layer and a depth of its own (with equal weights, where they are to be shared), or use the model without a cache.',
  );
}
