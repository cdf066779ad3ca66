import type {LayerShape} from '../binding/layer_shape.js';
import {full} from '../policies/full.js';
import {perDepth} from './per_depth.js';
import type {Plan} from './plan.js';

/** What the layers of a model ask for; `full` if one asks for nothing. */
export function planOfLayers(shapes: readonly LayerShape[]): Plan {
  return perDepth(shapes.map(({policy}) => policy ?? full()));
}
