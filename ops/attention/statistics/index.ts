import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {headsOf} from '../../encodings/encoding.js';
import type {Encoding} from '../../encodings/index.js';
import {defineOp, runOp} from '../../run_op.js';
import {checkQueries} from '../attend/checks.js';
import {inLatentSpace} from '../attend/latent_space.js';
import {storedKeys} from '../attend/stored_keys.js';
import {hasKernels, optionsOfQueries, queryAt} from '../attend/single_queries.js';
import {attentionStatisticsReference} from './reference.js';
import type {AttentionStatisticsOptions} from './types.js';
import './tensorflow.js';
import {attentionStatisticsWasm} from './wasm.js';
import {attentionStatisticsWebgpu} from './webgpu.js';

export type {AttentionStatistic, AttentionStatisticsOptions} from './types.js';

/**
 * The attention that each token of a segment received, in a second pass over its keys. Since `logSum` holds each query's
 * max + ln(sum) over *all* segments, `p_ij = exp(cap(scale * q_i . k_j) + bias_j - logSum_i)` is the final probability. Tile
 * by tile: never a matrix of queries x tokens.
 *
 * Each p is at most 1; its relative error is below `e^d - 1` with `d = (|score| + |logSum|) 2^-22 + 1e-6`. Scores of millions are
 * exact to one unit. A mass is rounded once more per query.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`, as in `attend`.
 * @param keys an encoding of this segment's tokens.
 * @param logSum float32 `[batch, heads, queryTokens, 1]`: see `partialLogSum`. A query at -Infinity contributes nothing.
 * @returns float32 `[batch, kvHeads, tokens]`.
 * @throws InvalidArgumentError if shapes do not fit or the threshold is missing.
 */
export function attentionStatistics(
  queries: tf.Tensor4D,
  keys: Encoding,
  logSum: tf.Tensor4D,
  options: AttentionStatisticsOptions,
): tf.Tensor3D {
  checkQueries(queries, keys, options);
  checkLogSum(logSum, queries);
  thresholdOf(options);
  if (hasKernels(options)) return statisticsAtOnce(queries, keys, logSum, options);
  return tf.tidy(() => {
    const [batch, , queryTokens] = queries.shape;
    const ofQuery = optionsOfQueries(options, queries.shape);
    const start = tf.fill<tf.Rank.R3>(
      [batch, headsOf(keys).kvHeads, options.tokens],
      options.statistic === 'lastUse' ? -1 : 0,
    );
    let sum = start;
    for (let index = 0; index < queryTokens; index++) {
      const former = sum;
      sum = tf.tidy(() => {
        const own = statisticsAtOnce(queryAt(queries, index), keys, queryAt(logSum, index), ofQuery(index));
        if (options.statistic !== 'lastUse') return tf.add<tf.Tensor3D>(former, own);
        return tf.where<tf.Tensor3D>(tf.greaterEqual(own, 0), tf.fill(own.shape, index), former);
      });
      former.dispose();
    }
    return sum;
  });
}

function statisticsAtOnce(
  queries: tf.Tensor4D,
  keys: Encoding,
  logSum: tf.Tensor4D,
  options: AttentionStatisticsOptions,
): tf.Tensor3D {
  const {tokens, softCap, statistic, keyRotation, firstQuery, window, bias} = options;
  return tf.tidy(() => {
    const effective = inLatentSpace(queries, keys, options);
    const stored = storedKeys(effective.keys, tokens, keyRotation, effective.angles !== undefined);
    const {shift, scale} = effective;
    const isCapped = softCap !== undefined; // then a shift belongs to what is capped
    const inputs = {
      queries: effective.queries,
      // what is left out of a query's scores is left out of its sum as well
      logSum: shift === undefined || isCapped ? logSum : tf.sub<tf.Tensor4D>(logSum, shift),
      shift: isCapped ? shift : undefined,
      ...stored.inputs,
      ...(effective.angles && {meanAngles: effective.angles}),
      ...(bias && {bias}),
    };
    const attributes = {
      ...stored.attributes,
      tokens,
      scale,
      statistic,
      threshold: thresholdOf(options),
      ...{firstQuery, window, softCap},
    };
    const isKnown = effective.angles === undefined && inputs.shift === undefined;
    return isKnown
      ? runOp(attentionStatisticsOp, inputs, attributes)
      : attentionStatisticsReference(inputs, attributes); // as in `attend`
  });
}

function checkLogSum(logSum: tf.Tensor4D, queries: tf.Tensor4D): void {
  const expected = [...queries.shape.slice(0, 3), 1];
  if (logSum.shape.join() !== expected.join()) {
    throw new InvalidArgumentError(
      `logSum is [${logSum.shape.join(', ')}]; expected [${expected.join(', ')}], one number per query of each head.`,
    );
  }
}

function thresholdOf({statistic, threshold}: AttentionStatisticsOptions): number {
  if (statistic === 'mass') return 0;
  if (threshold === undefined || !(threshold > 0 && threshold <= 1)) {
    throw new InvalidArgumentError(
      `threshold = ${threshold ?? 'undefined'}; the statistic '${statistic}' needs a probability in (0, 1].`,
    );
  }
  return threshold;
}

const attentionStatisticsOp = defineOp({
  name: 'AttentionStatistics',
  reference: attentionStatisticsReference,
  kernels: {
    wasm: attentionStatisticsWasm,
    webgpu: attentionStatisticsWebgpu,
  },
});
