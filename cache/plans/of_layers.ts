import type {LayerShape} from '../binding/layer_shape.js';
import {full} from '../policies/full.js';
import {perDepth} from './per_depth.js';
import type {Plan} from './plan.js';

/** Returns the plan of the policies that the layers ask for; `full` for layers that ask for none. */
export function planOfLayers(shapes: readonly LayerShape[]): Plan {
  return perDepth(shapes.map(({policy}) => policy ?? full()));
}
