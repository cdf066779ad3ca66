import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {allFinite} from '../../ops/finite/index.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {LatentKeys} from './attend_past.js';
import type {LayerShape} from '../binding/layer_shape.js';
import type {Past} from './past.js';
import type {RopeTables} from './rope_tables.js';

/** What an attention layer hands over for its fresh tokens, float32, **not** rotated. */
export interface FreshTokens {
  /** `[batch, heads, tokens, dim]` */
  readonly queries: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dim]`; latents `[batch, kvHeads, tokens, rank]` where there is a `keyBasis`. */
  readonly keys: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dimV]` */
  readonly values: tf.Tensor4D;
  /** `[kvHeads, rank, dim]`: what the keys are latents of. They are stored so, and rebuilt and rotated as they are met. */
  readonly keyBasis?: tf.Tensor3D;
  /** `[kvHeads, dim]`: what all keys have beside, where there is a `keyBasis`. */
  readonly keyMean?: tf.Tensor2D;
  /** Rotary positions; absent where the model has none. */
  readonly rope?: RopeConfig;
  /** Factor of the scores. Default 1 / sqrt(dim). */
  readonly scale?: number;
  /** Tokens that each token sees, itself included, in layers that look back no further. Default: all before it. */
  readonly window?: number;
  /** The attention layer that brings these tokens: a cache refuses those of another model. Absent where plain code does. */
  readonly layer?: object;
}

/**
 * @throws InvalidArgumentError where shapes do not fit the layer or the past, a window is no number of tokens, or numbers are
 *   not finite.
 */
export function checkFresh(depth: number, row: LayerShape, fresh: FreshTokens, past: Past | undefined): void {
  const {queries, keys, values, keyBasis, keyMean, window = 1} = fresh;
  if (!Number.isInteger(window) || window < 1) {
    throw new InvalidArgumentError(
      `At depth ${depth}, a window of ${window} tokens came; it must be a whole number, 1 or more.`,
    );
  }
  const {heads, kvHeads, dim, dimV, headDim = dim} = row;
  const [batch, , tokens] = queries.shape;
  const queryDim = keyBasis === undefined ? dim : headDim;
  const expected = {
    queries: [batch, heads, tokens, queryDim],
    keys: [batch, kvHeads, tokens, dim],
    values: [batch, kvHeads, tokens, dimV],
    keyBasis: [kvHeads, dim, queryDim],
    keyMean: [kvHeads, queryDim],
  };
  const given = {queries, keys, values, ...(keyBasis && {keyBasis}), ...(keyMean && {keyMean})};
  for (const [name, {shape}] of Object.entries(given)) {
    const wanted = expected[name as keyof typeof expected];
    if (shape.join() !== wanted.join() || tokens < 1) {
      throw new InvalidArgumentError(
        `At depth ${depth}, ${name} are [${shape.join(', ')}]; expected [${wanted.join(', ')}] with at least one token.`,
      );
    }
  }
  // queries too: a policy that adds up attention would carry a NaN on
  for (const [name, tensor] of Object.entries({queries, keys, values})) {
    if (allFinite(tensor) === false) {
      throw new InvalidArgumentError(
        `At depth ${depth}, ${name} hold NaN or infinity: check the model's weights and its input.`,
      );
    }
  }
  const pastBatch = past?.recent.keys.data.shape[0];
  if (pastBatch !== undefined && pastBatch !== batch) {
    throw new InvalidArgumentError(
      `This cache holds a batch of ${pastBatch}, and a batch of ${batch} came; reset() it or make another.`,
    );
  }
}

/** The basis of latent keys, once for each text of the batch; inside the caller's tidy. */
export function latentKeysOf(
  {keyBasis, keyMean, keys}: FreshTokens,
  rope: RopeTables | undefined,
): LatentKeys | undefined {
  if (keyBasis === undefined) return undefined;
  const ofBatch = (x: tf.Tensor4D): tf.Tensor4D =>
    keys.shape[0] === 1 ? x : tf.tile(x, [keys.shape[0], 1, 1, 1]);
  return {
    basis: ofBatch(tf.expandDims<tf.Tensor4D>(keyBasis, 0)),
    ...(keyMean && {mean: ofBatch(tf.reshape(keyMean, [1, keyMean.shape[0], 1, keyMean.shape[1]]))}),
    ...(rope && {rope}),
  };
}
