import type {PolicyLike} from '../policies/as_policy.js';

/** What a cache needs to know of one attention layer. */
export interface LayerShape {
  /** The index of the attention layer in its model. */
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Of keys, and of queries where the layer gives no `keyBasis`. */
  readonly dim: number;
  /** Of values. */
  readonly dimV: number;
  /**
   * Of an uncompressed head, in layers whose keys and values are latents: what sizes are compared with, and the dim of queries
   * that meet rebuilt keys. Default: `dim` and `dimV`.
   */
  readonly headDim?: number;
  /** The policy that the layer asks for, where a cache is made without a plan. Default: `full`. */
  readonly policy?: PolicyLike;
}

/**
 * Any model some of whose layers have a `layerShape: LayerShape`, models inside it too: a `tf.LayersModel` with attention of eigenkv
 * in it.
 */
export interface CacheableModel {
  readonly layers: readonly object[];
}

/** What a cache can be made of: a model, what holds one (as `loadModel` gives it), or the shapes of its attention layers. */
export type CacheSource = CacheableModel | {readonly model: CacheableModel} | readonly LayerShape[];

/** The sizes of a model whose attention is the same at every depth. */
export interface UniformSizes {
  readonly depths: number;
  readonly heads: number;
  /** Default: `heads`. */
  readonly kvHeads?: number;
  readonly headDim: number;
}

/** The rows of a model that is no `tf.LayersModel`, so that a cache can be made for it. */
export function uniformShapes({depths, heads, kvHeads = heads, headDim}: UniformSizes): LayerShape[] {
  return Array.from({length: depths}, (_, depth) => ({depth, heads, kvHeads, dim: headDim, dimV: headDim}));
}

/** Numbers of a token's key and value of one head, if nothing compressed them. */
export function uncompressedNumbers({dim, dimV, headDim}: LayerShape): number {
  return headDim === undefined ? dim + dimV : 2 * headDim;
}
