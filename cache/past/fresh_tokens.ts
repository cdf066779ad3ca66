import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {allFinite} from '../../ops/finite/index.js';
import {type ScoringOptions, checkScoring} from '../../ops/attention/scoring.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {LatentKeys} from './attend_past.js';
import type {LayerShape} from '../binding/layer_shape.js';
import type {Past} from './past.js';
import type {RopeTables} from './rope_tables.js';

/** The fresh tokens that an attention layer passes to a cache: float32, **not** rotated. */
export interface FreshTokens extends ScoringOptions {
  /** `[batch, heads, tokens, dim]` */
  readonly queries: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dim]`; latents `[batch, kvHeads, tokens, rank]` with a `keyBasis`. */
  readonly keys: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dimV]` */
  readonly values: tf.Tensor4D;
  /** `[kvHeads, rank, dim]`: the basis of keys that are latents. Latents are stored; attention rebuilds and rotates keys. */
  readonly keyBasis?: tf.Tensor3D;
  /** `[kvHeads, dim]`: added to all keys that are rebuilt from `keyBasis`. Default: zero. */
  readonly keyMean?: tf.Tensor2D;
  /** Rotary positions; absent if the model has none. */
  readonly rope?: RopeConfig;
  /** The attention layer that calls the cache, which refuses layers of other models. Absent if plain code calls it. */
  readonly layer?: object;
}

/**
 * Checks the tokens that a layer passes to a cache. Numbers are checked only on backends that can be read synchronously.
 * @throws InvalidArgumentError if shapes do not fit the layer or the past, if a scoring option is not allowed, or if numbers are not
 *   finite.
 */
export function checkFresh(
  depth: number,
  layerShape: LayerShape,
  fresh: FreshTokens,
  past: Past | undefined,
): void {
  const {queries, keys, values, keyBasis, keyMean, relativeBias} = fresh;
  checkScoring(fresh, layerShape, `At depth ${depth}`);
  const {heads, kvHeads, dim, dimV, headDim = dim} = layerShape;
  const [batch, , tokens] = queries.shape;
  const queryDim = keyBasis === undefined ? dim : headDim;
  // one by one: this is for each depth of each token
  expectShape(depth, 'queries', queries, [batch, heads, Math.max(1, tokens), queryDim]);
  expectShape(depth, 'keys', keys, [batch, kvHeads, tokens, dim]);
  expectShape(depth, 'values', values, [batch, kvHeads, tokens, dimV]);
  if (keyBasis !== undefined) expectShape(depth, 'keyBasis', keyBasis, [kvHeads, dim, queryDim]);
  if (keyMean !== undefined) expectShape(depth, 'keyMean', keyMean, [kvHeads, queryDim]);
  // queries, too: a keeper that sums attention would keep a NaN for ever
  expectFinite(depth, 'queries', queries);
  expectFinite(depth, 'keys', keys);
  expectFinite(depth, 'values', values);
  if (relativeBias !== undefined) expectFinite(depth, 'relativeBias', relativeBias);
  const pastBatch = past?.recent.keys.data.shape[0];
  if (pastBatch !== undefined && pastBatch !== batch) {
    throw new InvalidArgumentError(
      `This cache holds a batch of ${pastBatch} texts, but got a batch of ${batch}; reset() it or make another.`,
    );
  }
}

function expectShape(depth: number, name: string, {shape}: tf.Tensor, wanted: readonly number[]): void {
  if (shape.length === wanted.length && shape.every((length, axis) => length === wanted[axis])) return;
  throw new InvalidArgumentError(
    `At depth ${depth}, ${name} are [${shape.join(', ')}]; expected [${wanted.join(', ')}] with at least one token.`,
  );
}

function expectFinite(depth: number, name: string, tensor: tf.Tensor): void {
  if (allFinite(tensor) !== false) return;
  throw new InvalidArgumentError(
    `At depth ${depth}, ${name} contain NaN or infinity: check the model's weights and its input.`,
  );
}

/** Returns the basis of latent keys, repeated for each text of the batch; undefined without one. Inside the caller's tidy. */
export function latentKeysOf(
  {keyBasis, keyMean}: Pick<FreshTokens, 'keyBasis' | 'keyMean'>,
  batch: number,
  rope: RopeTables | undefined,
): LatentKeys | undefined {
  if (keyBasis === undefined) return undefined;
  const ofBatch = (x: tf.Tensor4D): tf.Tensor4D => (batch === 1 ? x : tf.tile(x, [batch, 1, 1, 1]));
  return {
    basis: ofBatch(tf.expandDims<tf.Tensor4D>(keyBasis, 0)),
    ...(keyMean && {mean: ofBatch(tf.reshape(keyMean, [1, keyMean.shape[0], 1, keyMean.shape[1]]))}),
    ...(rope && {rope}),
  };
}
