import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {DenseAttention, DenseWeights} from '../adapters/index.js';
import type {Calibration} from './calibrate.js';
import {checkCalibration} from './merge_calibrations.js';
import {denseAttentions, scoringOfCompressed} from './dense_attention.js';
import {type BasesOptions, type DepthBases, depthBases} from './depth_bases.js';

/** A model and what its compression is computed from, by depth. */
export interface Prepared {
  readonly model: tf.LayersModel;
  readonly attentions: readonly DenseAttention[];
  /** The attention weights of a depth. Those of the depth that was asked for last stay in memory, and no others. */
  readonly weightsOf: (depth: number) => Promise<DenseWeights>;
  readonly bases: readonly DepthBases[];
  /** The dim of every head. */
  readonly dim: number;
  readonly options: BasesOptions;
}

/**
 * Reads the attention weights of a model, depth by depth, and finds the bases of each.
 * @throws see `compress`.
 */
export async function prepare(
  model: tf.LayersModel,
  calibration: Calibration,
  options: BasesOptions,
): Promise<Prepared> {
  const attentions = denseAttentions(model);
  attentions.forEach(scoringOfCompressed);
  await checkCalibration(calibration, attentions);
  const weightsOf = readerOf(attentions);
  const bases: DepthBases[] = [];
  for (const [depth, attention] of attentions.entries()) {
    bases.push(depthBases(calibration, depth, attention, await weightsOf(depth), options));
  }
  return {model, attentions, weightsOf, bases, dim: commonDim(attentions), options};
}

function readerOf(attentions: readonly DenseAttention[]): Prepared['weightsOf'] {
  let latest: {readonly depth: number; readonly weights: DenseWeights} | undefined;
  return async depth => {
    if (latest?.depth !== depth) latest = {depth, weights: await attentions[depth]!.read()};
    return latest.weights;
  };
}

function commonDim(attentions: readonly DenseAttention[]): number {
  const dims = new Set(attentions.map(({headDim}) => headDim));
  const [dim = 0] = dims;
  if (dims.size === 1) return dim;
  throw new InvalidArgumentError(
    `The model has heads of ${[...dims].join(' and ')} numbers; ranks are allotted among heads of one size only.`,
  );
}
