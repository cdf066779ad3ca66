import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, atLeast, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';

export interface SnapKvOptions extends BudgetOptions {
  /** How many of the newest queries choose. The policy's `recent` is as many if it is not given, so that their tokens stay. Default 64. */
  readonly queries?: number;
  /** Positions over which attention is averaged, an odd number; 1 averages nothing. Default 5. */
  readonly pooling?: number;
}

const oddNumber = 'expected an odd number >= 1';

/**
 * Keeps what the newest queries look at, and its neighbours (SnapKV, Li et al., 2024, arXiv 2404.14469). The score of token j is
 *
 *     1 / pooling * sum_{|position_i - position_j| <= (pooling - 1) / 2} sum_q p_qi
 *
 * over the newest `queries` and the query heads of its group; evicted neighbours count as zeros. Made for prompts (`compressPrompt`).
 */
export const snapKv: Factory<SnapKvOptions, Keeper> = defineFactory(
  'snapKv',
  {
    ...budgetEntries,
    queries: v.optional(atLeast(1), 64),
    pooling: v.optional(
      v.pipe(
        v.number(oddNumber),
        v.integer(oddNumber),
        v.minValue(1, oddNumber),
        v.check(size => size % 2 === 1, oddNumber),
      ),
      5,
    ),
  },
  options => ({
    name: 'snapKv',
    options,
    ...limitsOf(options),
    queries: options.queries,
    score: ({queries, positions}) => pooled(queries().mass(), positions, options.pooling),
  }),
);

/** The mean over the tokens at most `(size - 1) / 2` positions away, which lie as many rows away at most: rows are in the order of the text. */
function pooled(x: tf.Tensor4D, positions: tf.Tensor4D, size: number): tf.Tensor4D {
  const radius = Math.min((size - 1) / 2, x.shape[2] - 1);
  const sums: tf.Tensor4D[] = [x];
  for (let rows = 1; rows <= radius; rows++) {
    const near = tf.lessEqual(tf.sub(later(positions, rows), earlier(positions, rows)), (size - 1) / 2);
    const pair = (own: tf.Tensor4D, before: number, behind: number) =>
      tf.pad(tf.where(near, own, tf.zerosLike(own)), [
        [0, 0],
        [0, 0],
        [before, behind],
        [0, 0],
      ]);
    sums.push(pair(earlier(x, rows), rows, 0), pair(later(x, rows), 0, rows));
  }
  return tf.div(tf.addN(sums), size);
}

/** All tokens but the first `rows` ones. */
const later = (x: tf.Tensor4D, rows: number): tf.Tensor4D => tf.slice(x, [0, 0, rows, 0]);

/** All tokens but the last `rows` ones. */
const earlier = (x: tf.Tensor4D, rows: number): tf.Tensor4D =>
  tf.slice(x, [0, 0, 0, 0], [-1, -1, x.shape[2] - rows, -1]);
