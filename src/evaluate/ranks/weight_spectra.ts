import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {Attention, FeedForward} from '../../../layers/index.js';
import {floatsOf} from '../../../ops/weights/packed_variables.js';
import {type ModelLike, modelOf} from '../../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../../models/progress.js';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {checkOptions} from '../../../base/options.js';
import {eighAsync} from '../../../ops/linalg/eigh/index.js';
import {effectiveRank, stableRank} from '../../../ops/linalg/ranks.js';
import {randomRankShare} from './random_matrix.js';

/** The matrices of a Transformer block. */
export const weightKinds = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;
export type WeightKind = (typeof weightKinds)[number];

/** The spectrum of one weight matrix. */
export interface WeightSpectrum {
  readonly depth: number;
  readonly weight: WeightKind;
  readonly rows: number;
  readonly columns: number;
  /** The largest possible rank: the shorter side. */
  readonly fullRank: number;
  /** The fewest singular values that hold 0.9 and 0.99 of the energy sum_i s_i^2. */
  readonly effectiveRank90: number;
  readonly effectiveRank99: number;
  /** Effective ranks of a random matrix of this shape: see `randomRankShare`. */
  readonly randomRank90: number;
  readonly randomRank99: number;
  readonly stableRank: number;
  /** All singular values, descending. */
  readonly singularValues: readonly number[];
}

/**
 * Computes the singular values of the weights of every attention and feed-forward layer of eigenkv in a model, by depth. Biases are left
 * out.
 *
 * Singular values are the square roots of the eigenvalues of the smaller Gram matrix, in float32. Those below 3e-4 of the largest are
 * noise, but too small to change a rank.
 *
 * @param options `onProgress` counts matrices.
 * @throws InvalidArgumentError if the model has no such layers; the signal's reason.
 */
export async function weightSpectra(
  model: ModelLike,
  options: ProgressOptions = {},
): Promise<WeightSpectrum[]> {
  const progress = checkOptions('weightSpectra', v.strictObject(progressEntries), options);
  const matrices = weightMatrices(modelOf(model));
  if (matrices.length === 0) {
    throw new InvalidArgumentError(
      'This model has no attention or feed-forward layers of eigenkv; give a model that is built from them.',
    );
  }
  const afterMatrix = countProgress(matrices.length, progress);
  const spectra: WeightSpectrum[] = [];
  for (const {depth, weight, variable} of matrices) {
    spectra.push({depth, weight, ...(await spectrumOf(variable))});
    await afterMatrix(1);
  }
  return spectra;
}

interface WeightMatrix {
  readonly depth: number;
  readonly weight: WeightKind;
  readonly variable: tf.LayerVariable;
}

/** Feed-forward layers do not store their depth, so they are counted. */
function weightMatrices({layers}: tf.LayersModel): WeightMatrix[] {
  const ofBlocks = [
    layers
      .filter(layer => layer instanceof Attention)
      .sort((a, b) => a.layerShape.depth - b.layerShape.depth),
    layers.filter(layer => layer instanceof FeedForward),
  ];
  return ofBlocks
    .flatMap(blocks => blocks.flatMap((layer, depth) => kernelsOf(layer).map(found => ({depth, ...found}))))
    .sort((a, b) => a.depth - b.depth);
}

function kernelsOf({weights}: tf.layers.Layer): Omit<WeightMatrix, 'depth'>[] {
  return weights.flatMap(variable => {
    const weight = weightKinds.find(kind => variable.originalName.endsWith(`/${kind}_kernel`));
    return weight === undefined ? [] : [{weight, variable}];
  });
}

async function spectrumOf(variable: tf.LayerVariable): Promise<Omit<WeightSpectrum, 'depth' | 'weight'>> {
  const [rows, columns] = variable.shape as [number, number];
  const gram = tf.tidy(() => {
    const single = tf.expandDims<tf.Tensor3D>(floatsOf(variable), 0);
    return batchedMatMul(single, single, rows < columns ? {transposeB: true} : {transposeA: true});
  });
  const {values, vectors} = await eighAsync(gram);
  const squares = await values.data<'float32'>();
  tf.dispose([gram, values, vectors]);
  const singularValues = Array.from(squares, square => Math.sqrt(Math.max(square, 0)));
  const fullRank = Math.min(rows, columns);
  return {
    rows,
    columns,
    fullRank,
    effectiveRank90: effectiveRank(singularValues, 0.9),
    effectiveRank99: effectiveRank(singularValues, 0.99),
    randomRank90: fullRank * randomRankShare(rows, columns, 0.9),
    randomRank99: fullRank * randomRankShare(rows, columns, 0.99),
    stableRank: stableRank(singularValues),
    singularValues,
  };
}
