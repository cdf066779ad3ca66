import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {sharedBasis} from '../../../ops/encodings/decode.js';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import {eigh} from '../../../ops/linalg/eigh/index.js';
import type {SideTensors} from './tensors.js';
import {type CodeWidth, type SideWidths, channelsPerGroup, groupCount, optimalWidths} from './widths.js';

// Transforms without a calibration: the principal directions of a text's own first tokens.

/**
 * The Karhunen-Loeve transform of a run's first tokens: channels are their principal directions, scaled to variance 1. It needs no profile,
 * and knows nothing of what errors cost: at equal bytes its divergence is several times that of a profile.
 *
 * @param x the first tokens, if there are none in `like`.
 * @param like earlier tokens of the run, whose directions are taken.
 * @param center whether the mean of the first tokens is subtracted.
 */
export function ownTransform(x: tf.Tensor4D, like: Encoding | undefined, center: boolean): SideTensors {
  const {basis, mean} = sharedBasis(like) ?? principalDirections(x, center);
  // rows of the basis are orthogonal: their inverse is the transpose, divided by the squares of their lengths
  const squares = tf.sum(tf.square(basis), 3, true);
  const analysis: tf.Tensor4D = tf.mul(
    basis,
    tf.where(tf.greater(squares, 0), tf.reciprocal(squares), tf.zerosLike(squares)),
  );
  return {basis, analysis, ...(mean && {mean})};
}

/** The same widths for every head, which do not depend on the tokens, so that a text is stored alike in every batch. */
export function ownWidths(kvHeads: number, dim: number, bits: number): SideWidths {
  return Array.from({length: kvHeads}, () => widthsOfHead(dim, bits));
}

/** Numbers that all tokens of a head share: directions and a mean. */
export const ownNumbers = (dim: number) => groupCount(dim) * channelsPerGroup * dim + dim;

/** Principal directions of tokens as rows, each as long as its standard deviation; the strongest first, then zeros up to whole groups. */
function principalDirections(x: tf.Tensor4D, center: boolean): {basis: tf.Tensor4D; mean?: tf.Tensor4D} {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const mean = center ? tf.mean<tf.Tensor4D>(x, 2, true) : undefined;
  const flat: tf.Tensor3D = tf.reshape(mean ? tf.sub(x, mean) : x, [batch * kvHeads, tokens, dim]);
  // squares of huge numbers would overflow, and those of tiny ones vanish
  const largest = tf.maximum(tf.max(tf.abs(flat), [1, 2], true), 2 ** -126);
  const scaled: tf.Tensor3D = tf.div(flat, largest);
  const {values, vectors} = eigh(batchedMatMul(scaled, scaled, {transposeA: true}));
  const least = tf.mul(tf.max(values, 1, true), smallestVariance);
  const deviations = tf.sqrt(tf.div(tf.maximum(values, tf.maximum(least, 2 ** -40)), tokens));
  const lengths = tf.mul(tf.expandDims(deviations, 2), largest);
  const rows = tf.reshape<tf.Rank.R4>(tf.mul(vectors, lengths), [batch, kvHeads, dim, dim]);
  const missing = groupCount(dim) * channelsPerGroup - dim;
  const basis: tf.Tensor4D =
    missing === 0
      ? rows
      : tf.pad(rows, [
          [0, 0],
          [0, 0],
          [0, missing],
          [0, 0],
        ]);
  return mean ? {basis, mean} : {basis};
}

/** Directions in which first tokens hardly vary have this share of the largest variance at least: later tokens may vary there. */
const smallestVariance = 1e-4;

/** Widths for variances that fall as those of keys and values do: by a thousand over a head. */
function widthsOfHead(dim: number, bits: number): CodeWidth[] {
  const groups = groupCount(dim);
  const items = Array.from({length: groups}, (_, group) => ({weight: 1000 ** (-group / groups), groups: 1}));
  return optimalWidths(items, Math.floor(bits * groups + 1e-9));
}
