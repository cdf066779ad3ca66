import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {LayerShape} from '../binding/layer_shape.js';
import type {Past} from '../past/past.js';
import type {Spec} from '../registry.js';

/** All that a cache is, as plain data and tensors: what a snapshot holds. */
export interface CacheState {
  readonly rows: readonly LayerShape[];
  /** Of each depth. */
  readonly policies: readonly Spec[];
  readonly expectedTokens?: number;
  readonly beyondContext: boolean;
  /** Undefined where no token came in. */
  readonly depths: readonly (DepthState | undefined)[];
}

/** One depth of a cache that holds tokens. */
export interface DepthState {
  readonly past: Past;
  /** Factor of the scores. */
  readonly scale: number;
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeConfig;
}
