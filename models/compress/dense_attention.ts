import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {EigenAttention} from '../../layers/index.js';
import {type DenseAttention, findAttention, nameOf, placedLayers, takesCache} from '../adapters/index.js';

/**
 * The attention layers of a model and of the models inside it, one per depth.
 *
 * @throws ModelError if there is no attention layer or one that cannot be compressed; InvalidArgumentError if one is compressed
 *   already.
 */
export function denseAttentions(model: tf.LayersModel): DenseAttention[] {
  const found = findAttention(placedLayers(model)).map(({layer, attention, inside: [block]}) => {
    if (block !== undefined) {
      throw new ModelError(
        `Layer ${nameOf(layer)} is a member of the block ${nameOf(block)}, which calls it itself, so no compressed layer can take its place. ` +
          'Compress its cache instead.',
      );
    }
    if (attention !== undefined) return attention;
    if (layer.getClassName() === EigenAttention.className) {
      throw new InvalidArgumentError(
        `Layer "${layer.name}" is already compressed; calibrate and compress the model that it was made from.`,
      );
    }
    throw new ModelError(
      `There is no adapter for layer ${nameOf(layer)}, so its weights cannot be compressed. Add one with registerAttentionAdapter.`,
    );
  });
  return found.sort((a, b) => depthOf(a) - depthOf(b));
}

/**
 * What of a layer's attention its compressed twin has besides sizes and ranks.
 * @throws ModelError if it has biases by a table, or if it normalises queries and keys: a norm is not linear, so no product of weights gives their latents.
 */
export function scoringOfCompressed(attention: DenseAttention) {
  const {layer, normalises = false, window = Infinity, scale, softCap, alibi, queryGrowth} = attention;
  if (attention.relativeBias !== undefined) {
    throw new ModelError(
      `Layer ${nameOf(layer)} has relative biases, which compressed layers have not. Compress the cache instead.`,
    );
  }
  if (!normalises)
    return {window: window === Infinity ? undefined : window, scale, softCap, alibi, queryGrowth};
  throw new ModelError(
    `Layer ${nameOf(layer)} normalises queries and keys between projection and attention, so bases cannot be merged into its projections. ` +
      'Compress the cache instead: every policy stores normalised keys, onlineSvd in low rank.',
  );
}

/** Layers that know their depth are sorted by it; others stay in the order of the model. */
function depthOf({layer}: DenseAttention): number {
  return takesCache(layer) ? layer.layerShape.depth : 0;
}
