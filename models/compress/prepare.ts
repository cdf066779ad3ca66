import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {DenseAttention, DenseWeights} from '../adapters/index.js';
import {type Calibration, checkCalibration} from './calibrate.js';
import {denseAttentions} from './dense_attention.js';
import {type BasesOptions, type DepthBases, depthBases} from './depth_bases.js';

/** A model and what its compression is computed from, by depth. */
export interface Prepared {
  readonly model: tf.LayersModel;
  readonly attentions: readonly DenseAttention[];
  readonly weights: readonly DenseWeights[];
  readonly bases: readonly DepthBases[];
  /** The dim of every head. */
  readonly dim: number;
  readonly options: BasesOptions;
}

/**
 * Reads the attention weights of a model and finds the bases of every depth.
 * @throws see `compress`.
 */
export async function prepare(
  model: tf.LayersModel,
  calibration: Calibration,
  options: BasesOptions,
): Promise<Prepared> {
  const attentions = denseAttentions(model);
  await checkCalibration(calibration, attentions);
  const weights = await Promise.all(attentions.map(attention => attention.read()));
  const bases = attentions.map((attention, depth) =>
    depthBases(calibration, depth, attention, weights[depth]!, options),
  );
  return {model, attentions, weights, bases, dim: commonDim(attentions), options};
}

function commonDim(attentions: readonly DenseAttention[]): number {
  const dims = new Set(attentions.map(({headDim}) => headDim));
  const [dim = 0] = dims;
  if (dims.size === 1) return dim;
  throw new InvalidArgumentError(
    `The model has heads of ${[...dims].join(' and ')} numbers; ranks are allotted among heads of one size only.`,
  );
}
