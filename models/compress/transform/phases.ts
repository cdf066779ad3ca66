import * as tf from '@tensorflow/tfjs';
import type {Rotation} from '../../../ops/rotate/index.js';
import {type RopeConfig, ropeFrequencies} from '../../../ops/rotate/rope.js';

/** The phases of each token: cosines and sines of all pairs, and a 1; only the 1 without a rotation. float32 `[tokens, phases]`. */
export function phasesOf(rotation: Rotation | undefined, tokens: number): tf.Tensor2D {
  const one = tf.ones<tf.Rank.R2>([tokens, 1]);
  return rotation === undefined ? one : tf.concat([rotation.cos, rotation.sin, one], 1);
}

export function phaseCount(rope: RopeConfig | undefined, dim: number): number {
  return rope === undefined ? 1 : (rope.rotaryDim ?? dim) + 1;
}

/**
 * The matrix N(d), `[dim, phases]`, by which the phases of a position give d rotated to it. Of a pair (a, b):
 * `a' = a cos - b sin`, `b' = b cos + a sin`. Channels that do not rotate have their number in the last column.
 */
export function rotationOfVector(d: Float64Array, rope: RopeConfig | undefined): Float64Array {
  const dim = d.length;
  const width = phaseCount(rope, dim);
  const matrix = new Float64Array(dim * width);
  const pairs = rope === undefined ? 0 : ropeFrequencies(rope, dim).frequencies.length;
  for (let pair = 0; pair < pairs; pair++) {
    const [a, b] = rope?.interleaved === true ? [2 * pair, 2 * pair + 1] : [pair, pair + pairs];
    matrix[a * width + pair] = d[a]!;
    matrix[a * width + pairs + pair] = -d[b]!;
    matrix[b * width + pair] = d[b]!;
    matrix[b * width + pairs + pair] = d[a]!;
  }
  for (let channel = 2 * pairs; channel < dim; channel++) matrix[channel * width + width - 1] = d[channel]!;
  return matrix;
}
