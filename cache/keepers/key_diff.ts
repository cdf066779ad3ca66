import * as tf from '@tensorflow/tfjs';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';

/**
 * Keeps the tokens whose keys differ most from the others (KeyDiff, Park et al., 2025, arXiv 2504.15364). The score of a token is
 *
 *     -cos(k_j, mean_i k_i / |k_i|)
 *
 * over the rotated keys of the candidates of each head. It needs no attention.
 */
export const keyDiff: Factory<BudgetOptions, Keeper> = defineFactory('keyDiff', budgetEntries, options => ({
  name: 'keyDiff',
  options,
  ...limitsOf(options),
  score: ({byTile}) => {
    const sums = byTile(({keys}) => tf.sum<tf.Tensor4D>(unit(keys()), 2, true));
    const anchor = unit(tf.sum(sums, 2, true));
    return byTile(({keys}) => tf.neg(tf.sum(tf.mul(unit(keys()), anchor), 3, true)));
  },
}));

/** Vectors of length 1; zeros stay zeros. */
function unit(x: tf.Tensor4D): tf.Tensor4D {
  return tf.div(x, tf.maximum(tf.norm(x, 'euclidean', 3, true), 1e-30));
}
