import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';
import {positive} from './layer_args.js';

/** What a norm of queries and keys goes over: the numbers of a head, or all that a projection gives. */
export type QkNorm = 'head' | 'projection';

/** Queries that grow with their position i: `q_i (1 + rate ln(1 + floor(i / period)))`, as those of Llama 4 and Ministral 3. */
export interface QueryGrowth {
  readonly rate: number;
  /** Tokens, at least 1. */
  readonly period: number;
}

interface NormOptions {
  readonly qkNorm?: QkNorm | undefined;
  readonly qkNormEpsilon?: number | undefined;
  readonly queryGrowth?: QueryGrowth | undefined;
}

/** @throws InvalidArgumentError if an option is not allowed. */
export function checkedNorms({qkNorm, qkNormEpsilon, queryGrowth}: NormOptions, layer: string) {
  if (qkNorm !== undefined && !['head', 'projection'].includes(qkNorm)) {
    throw new InvalidArgumentError(
      `${layer}: qkNorm = ${shown(qkNorm)}; expected "head" or "projection".${didYouMean(qkNorm, ['head', 'projection'])}`,
    );
  }
  if (qkNormEpsilon !== undefined && !(qkNormEpsilon >= 0 && Number.isFinite(qkNormEpsilon))) {
    throw new InvalidArgumentError(
      `${layer}: qkNormEpsilon = ${qkNormEpsilon}; expected a number from 0 on.`,
    );
  }
  if (queryGrowth !== undefined) {
    positive(queryGrowth.period, 'queryGrowth.period', layer);
    if (!Number.isFinite(queryGrowth.rate)) {
      throw new InvalidArgumentError(
        `${layer}: queryGrowth.rate = ${shown(queryGrowth.rate)}; expected a finite number.`,
      );
    }
  }
  return {qkNorm, qkNormEpsilon: qkNorm && qkNormEpsilon, queryGrowth};
}

/** Queries `[batch, heads, tokens, dim]` of the tokens from position `start` on, grown. */
export function grownQueries(
  queries: tf.Tensor4D,
  growth: QueryGrowth | undefined,
  start: number,
): tf.Tensor4D {
  const [, , tokens] = queries.shape;
  if (growth === undefined || start + tokens <= growth.period) return queries;
  const {rate, period} = growth;
  const factors = Array.from(
    {length: tokens},
    (_, i) => 1 + rate * Math.log(1 + Math.floor((start + i) / period)),
  );
  return tf.mul(queries, tf.tensor4d(factors, [1, 1, tokens, 1]));
}
