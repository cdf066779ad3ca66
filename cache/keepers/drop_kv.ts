import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, atLeast, defineFactory} from '../../base/options.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import type {Candidates, CandidateTile, Keeper} from '../contract.js';
import {type BudgetOptions, budgetEntries, limitsOf} from './options.js';
import {dots, sumOfGroups, timesMetric, toQueryHeads} from './query_heads.js';

export interface DropKvOptions extends BudgetOptions {
  /** How many of the newest queries choose. The policy's `recent` is as many if it is not given. Default 32. */
  readonly queries?: number;
}

/**
 * Evicts the tokens whose absence changes the layer's output the least (DropKV, NVIDIA kvpress, pull requests 284 and 285, 2026). Without
 * token j, the output o of a query changes by exactly `p_j / (1 - p_j) (o - v_j)`. The score is
 *
 *     sum_q (p_qj / (1 - p_qj))^2 |(v_j - o_q) W_O|^2
 *
 * over the newest `queries` and the query heads of the group, with the output projection W_O of the layer (the identity if plain code calls
 * the cache, or a layer of another package). Scores of different heads and depths can be compared.
 */
export const dropKv: Factory<DropKvOptions, Keeper> = defineFactory(
  'dropKv',
  {...budgetEntries, queries: v.optional(atLeast(1), 32)},
  options => ({
    name: 'dropKv',
    options,
    ...limitsOf(options),
    queries: options.queries,
    score: candidates => candidates.byTile(tile => outputChange(tile, candidates)),
  }),
);

/**
 * The change is expanded, `|v - o|^2 = v.v - 2 v.o + o.o` in the metric of W_O, so that no vector arises for each pair of a token and a
 * query. If a token has more than half of a query's attention, o is near v, and the sum would cancel: those pairs, one per query at
 * most, are computed as they are written above.
 */
function outputChange(tile: CandidateTile, {queries, outputMetric, positions}: Candidates): tf.Tensor4D {
  const outputs = queries().outputs();
  const metric = outputMetric();
  const p = tile.attention();
  const values = toQueryHeads(tile.values(), p.shape[1]);
  const isMost = tf.greater(p, 0.5);
  const odds: tf.Tensor4D = tf.div(p, tf.sub(1, p));
  const few: tf.Tensor4D = tf.where(isMost, tf.zerosLike(p), tf.square(odds));
  const measured = timesMetric(outputs, metric);
  const change = tf.addN([
    tf.mul(weightOf(few), dots(timesMetric(values, metric), values)),
    tf.mul(-2, dots(perToken(few, measured), values)),
    perToken(few, dots(measured, outputs)),
  ]);
  const most: tf.Tensor4D = tf.where(isMost, tf.onesLike(p), tf.zerosLike(p));
  const difference = tf.sub<tf.Tensor4D>(batchedMatMul(most, values), outputs); // of queries with such a token
  const share = tf.sum(tf.mul(most, p), 3, true);
  const factor = tf.square(tf.div(share, tf.maximum(tf.sub(1, share), leastRest)));
  const ofMost = perToken(most, tf.mul(factor, dots(timesMetric(difference, metric), difference)));
  return sumOfGroups(tf.add(tf.relu(change), ofMost), positions.shape[1]);
}

/** The least `1 - p`: below it, float32 knows neither it nor `o - v`. Such a token has a score that is large and finite. */
const leastRest = 1e-5;

/** The weights `[batch, heads, queries, tokens]` summed over the queries: `[batch, heads, tokens, 1]`. */
const weightOf = (weights: tf.Tensor4D): tf.Tensor4D =>
  tf.reshape(tf.sum(weights, 2), [weights.shape[0], weights.shape[1], weights.shape[3], 1]);

/** For each token, the sum of the queries' rows by its weights: `[batch, heads, tokens, columns]`. */
const perToken = (weights: tf.Tensor4D, rows: tf.Tensor4D): tf.Tensor4D =>
  batchedMatMul(weights, rows, {transposeA: true});
