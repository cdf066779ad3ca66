import * as tf from '@tensorflow/tfjs';
import {checkQueries} from '../attend/checks.js';
import {inLatentSpace} from '../attend/latent_space.js';
import {storedKeys, type KeyAttributes, type KeyInputs, type KeyRotation} from '../attend/stored_keys.js';
import type {Visibility} from '../attend/visibility.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding} from '../../encodings/encoding.js';
import {defineOp, runOp} from '../../run_op.js';
import {attentionStatisticsReference} from './reference.js';
import {attentionStatisticsWasm} from './wasm.js';
import {attentionStatisticsWebgpu} from './webgpu.js';

/**
 * What to know of the attention that a token got, over the queries i and the heads of its group:
 *
 * - `mass`: the sum of p_ij over all of them (H2O, Zhang et al., 2023, arXiv 2306.14048);
 * - `uses`: how many queries have p_ij >= threshold in at least one head;
 * - `lastUse`: the index of the last such query, or -1.
 */
export type AttentionStatistic = 'mass' | 'uses' | 'lastUse';

export interface AttentionStatisticsOptions extends Visibility {
  /** How many of the segment's tokens are valid. */
  readonly tokens: number;
  /** Factor of the scores; always 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  readonly statistic: AttentionStatistic;
  /** From which probability on a token is used, in (0, 1]; needed for `uses` and `lastUse`. */
  readonly threshold?: number;
  /** The rotation of keys that were stored before it: see `attend`. */
  readonly keyRotation?: KeyRotation;
}

/**
 * How much attention each token of a segment got, in a second pass over its keys: since `logSum` holds each query's
 * max + ln(sum) over *all* segments, `p_ij = exp(scale * q_i . k_j - logSum_i)` are the final probabilities. Tile by
 * tile: never a matrix of queries x tokens.
 *
 * A p is at most 1, and its relative error below `e^d - 1` with `d = (|score| + |logSum|) 2^-22 + 1e-6`: scores of millions are
 * known to one unit. A mass rounds once more for each query.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`, as in `attend`.
 * @param keys an encoding of this segment's tokens.
 * @param logSum float32 `[batch, heads, queryTokens, 1]`: see `partialLogSum`. A query at -Infinity gives nothing.
 * @returns float32 `[batch, kvHeads, tokens]`.
 * @throws InvalidArgumentError where shapes do not fit, or where the threshold is missing.
 */
export function attentionStatistics(
  queries: tf.Tensor4D,
  keys: Encoding,
  logSum: tf.Tensor4D,
  options: AttentionStatisticsOptions,
): tf.Tensor3D {
  const {tokens, scale, firstQuery, window, statistic, keyRotation} = options;
  checkQueries(queries, keys, tokens);
  checkLogSum(logSum, queries);
  const threshold = checkThreshold(options);
  return tf.tidy(() => {
    const met = inLatentSpace(queries, keys, scale);
    const stored = storedKeys(met.keys, tokens, keyRotation);
    const inputs = {
      queries: met.queries,
      // what is missing of a query's scores is missing of its sum as well
      logSum: met.shift === undefined ? logSum : tf.sub(logSum, met.shift),
      ...stored.inputs,
    };
    const attributes = {
      ...stored.attributes,
      tokens,
      scale,
      statistic,
      threshold,
      firstQuery,
    };
    return window === undefined
      ? runOp(attentionStatisticsOp, inputs, attributes)
      : attentionStatisticsReference(inputs, {...attributes, window}); // no kernel yet, as in `attend`
  }) as tf.Tensor3D;
}

function checkLogSum(logSum: tf.Tensor4D, queries: tf.Tensor4D): void {
  const expected = [...queries.shape.slice(0, 3), 1];
  if (logSum.shape.join() !== expected.join()) {
    throw new InvalidArgumentError(
      `logSum is [${logSum.shape.join(', ')}]; expected [${expected.join(', ')}], a number for each query of each head.`,
    );
  }
}

function checkThreshold({statistic, threshold}: AttentionStatisticsOptions): number {
  if (statistic === 'mass') return 0;
  if (threshold === undefined || !(threshold > 0 && threshold <= 1)) {
    throw new InvalidArgumentError(
      `threshold = ${threshold ?? 'undefined'}; the statistic '${statistic}' needs a probability in (0, 1].`,
    );
  }
  return threshold;
}

export type AttentionStatisticsInputs = KeyInputs & {queries: tf.Tensor; logSum: tf.Tensor};

export interface AttentionStatisticsAttributes extends KeyAttributes, Visibility {
  readonly tokens: number;
  readonly scale: number;
  readonly statistic: AttentionStatistic;
  readonly threshold: number;
}

export const attentionStatisticsOp = defineOp<AttentionStatisticsInputs, AttentionStatisticsAttributes>({
  name: 'AttentionStatistics',
  reference: attentionStatisticsReference,
  kernels: {wasm: attentionStatisticsWasm, webgpu: attentionStatisticsWebgpu},
});
