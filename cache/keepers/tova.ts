import * as tf from '@tensorflow/tfjs';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';

/**
 * Token omission via attention (TOVA, Oren et al., 2024, arXiv 2401.06104): evicts the tokens to which the newest query attends least.
 * The score is the mean of its attention probabilities over all heads of the layer, so that all of them keep the same tokens. (If a former
 * plan left different tokens to the heads, each goes by the query heads of its own group.)
 */
export const tova: Factory<BudgetOptions, Keeper> = defineFactory('tova', budgetEntries, options => ({
  name: 'tova',
  options,
  ...limitsOf(options),
  queries: 1,
  score: ({queries, positions}) => {
    const mass = queries().mass();
    const isShared = tf.equal(tf.min(positions, 1, true), tf.max(positions, 1, true));
    return tf.where(isShared, tf.mean(mass, 1, true), mass);
  },
}));
