import * as tf from '@tensorflow/tfjs';
import {Attention, FeedForward} from '../../../layers/index.js';
import {waitingEvents} from '../../../models/generate/event_loop.js';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
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
  /** The most that the rank can be: the shorter side. */
  readonly fullRank: number;
  /** The fewest singular values with 0.9 and 0.99 of the energy. */
  readonly effectiveRank90: number;
  readonly effectiveRank99: number;
  /** The same of a random matrix of this shape: see `randomRankShare`. */
  readonly randomRank90: number;
  readonly randomRank99: number;
  readonly stableRank: number;
  /** Descending. */
  readonly singularValues: readonly number[];
}

export interface WeightSpectraOptions {
  /** Matrices done, of all. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

/**
 * Spectra of the weights of every attention and feed-forward layer of eigenkv in a model, by depth. Biases are left out.
 *
 * From the eigenvalues of the smaller Gram matrix: singular values below 3e-4 of the largest are noise, which no rank here
 * looks at.
 *
 * @throws InvalidArgumentError where the model has no such layers; the signal's reason.
 */
export async function weightSpectra(
  model: tf.LayersModel,
  {onProgress, signal}: WeightSpectraOptions = {},
): Promise<WeightSpectrum[]> {
  const matrices = weightMatrices(model);
  if (matrices.length === 0) {
    throw new InvalidArgumentError(
      'This model has no attention or feed-forward layers of eigenkv to look at.',
    );
  }
  const spectra: WeightSpectrum[] = [];
  for (const [index, {depth, weight, variable}] of matrices.entries()) {
    signal?.throwIfAborted();
    spectra.push({depth, weight, ...(await spectrumOf(variable.read() as tf.Tensor2D))});
    onProgress?.({done: index + 1, total: matrices.length});
    await waitingEvents();
  }
  return spectra;
}

interface WeightMatrix {
  readonly depth: number;
  readonly weight: WeightKind;
  readonly variable: tf.LayerVariable;
}

/** Feed-forward layers do not know their depth: they are counted. */
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

async function spectrumOf(matrix: tf.Tensor2D): Promise<Omit<WeightSpectrum, 'depth' | 'weight'>> {
  const [rows, columns] = matrix.shape;
  const gram = tf.tidy(() => {
    const single = tf.expandDims<tf.Tensor3D>(matrix, 0);
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
