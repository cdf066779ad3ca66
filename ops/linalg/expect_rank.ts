import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';

/** A rank from 1 to min(m, n) of matrices `[..., m, n]`. */
export function expectRank(owner: string, rank: number, {shape}: tf.Tensor): number {
  const most = Math.min(...shape.slice(-2));
  if (rank > most) {
    throw new InvalidArgumentError(
      `${owner}: rank = ${rank}; matrices [${shape.slice(-2).join(', ')}] have ranks from 1 to ${most}.`,
    );
  }
  return rank;
}
