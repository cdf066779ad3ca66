import type {PolicyLike} from '../policies/as_policy.js';

/** The sizes of one attention layer, as a cache needs them. */
export interface LayerShape {
  /** The index of the attention layer in its model, from 0. */
  readonly depth: number;
  /** Number of query heads; a multiple of `kvHeads`. */
  readonly heads: number;
  /** Number of key and value heads. */
  readonly kvHeads: number;
  /** Numbers per key and head; also per query, unless the layer gives a `keyBasis`. */
  readonly dim: number;
  /** Numbers per value and head. */
  readonly dimV: number;
  /**
   * The dim of an uncompressed head, in layers whose keys and values are latents: the baseline of byte counts, and the dim of queries,
   * which attend over rebuilt keys. Default: `dim` and `dimV`.
   */
  readonly headDim?: number;
  /** The sliding window of the layer in tokens, if it has one: a cache holds little more. Default: none. */
  readonly window?: number | undefined;
  /** The policy that the layer asks for if a cache is made without a plan. Default: `full`. */
  readonly policy?: PolicyLike;
}

/**
 * Any model with layers that have `layerShape: LayerShape`, directly or in nested models: a `tf.LayersModel` with attention layers of
 * eigenkv.
 */
export interface CacheableModel {
  readonly layers: readonly object[];
}

/** What a cache can be made of: a model, an object that holds one (as `loadModel` returns), or the shapes of its attention layers. */
export type CacheSource = CacheableModel | {readonly model: CacheableModel} | readonly LayerShape[];

/** The sizes of a model whose attention is the same at every depth. */
export interface UniformSizes {
  /** Number of attention layers. */
  readonly depths: number;
  /** Number of query heads. */
  readonly heads: number;
  /** Number of key and value heads. Default: `heads`. */
  readonly kvHeads?: number;
  /** Numbers per key and per value of one head. */
  readonly headDim: number;
}

/** Returns equal layer shapes for every depth, to make a cache for a model that is not a `tf.LayersModel`. */
export function uniformShapes({depths, heads, kvHeads = heads, headDim}: UniformSizes): LayerShape[] {
  return Array.from({length: depths}, (_, depth) => ({depth, heads, kvHeads, dim: headDim, dimV: headDim}));
}

/** Returns how many numbers the uncompressed key and value of one token and head have. */
export function uncompressedNumbers({dim, dimV, headDim}: LayerShape): number {
  return headDim === undefined ? dim + dimV : 2 * headDim;
}
