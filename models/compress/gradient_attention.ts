import * as tf from '@tensorflow/tfjs';
import type {AttentionCache} from '../../cache/attention_cache.js';
import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import {attend} from '../../ops/attention/attend/index.js';
import {causalAttentionGradient} from '../../ops/attention/causal/gradient.js';
import {causalAttention} from '../../ops/attention/causal/index.js';
import {ownScores} from '../../ops/attention/causal/own_scores.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {type Scoring, scoringOf} from '../../ops/attention/scoring.js';
import {type Rotation, rotateBoth} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';

/** Tokens of a step: a token is exact in the step that brings it, so only the queries of later steps read what is stored of it. */
export const stepTokens = 64;

export interface SideGradients {
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
}

/** Gradients less what comes from queries of the token's own step. */
export function throughLaterSteps(
  {rotatedQueries, rotatedKeys, values, output, logSums, bias, scoring}: RecordedDepth,
  all: SideGradients,
  dy: tf.Tensor4D,
): SideGradients {
  const tokens = rotatedKeys.shape[2];
  const own: {keys: tf.Tensor4D[]; values: tf.Tensor4D[]} = {keys: [], values: []};
  for (let start = 0; start < tokens; start += stepTokens) {
    const part = (x: tf.Tensor4D) =>
      tf.slice(x, [0, 0, start, 0], [-1, -1, Math.min(stepTokens, tokens - start), -1]);
    const [, keys, ofValues] = causalAttentionGradient(
      {
        queries: part(rotatedQueries),
        keys: part(rotatedKeys),
        values: part(values),
        output: part(output),
        logSums: part(logSums), // of all tokens, so probabilities are those of the whole attention
        dy: part(dy),
        bias: bias && part(bias), // relative to the newest of all tokens
      },
      scoring,
    ) as ShiftsOfDepth;
    own.keys.push(keys);
    own.values.push(ofValues);
  }
  return {
    keys: tf.sub(all.keys, tf.concat(own.keys, 2)),
    values: tf.sub(all.values, tf.concat(own.values, 2)),
  };
}

/** One depth of a text: what goes into its attention and comes out. */
export interface RecordedDepth {
  readonly depth: number;
  readonly scoring: Scoring;
  readonly rotation?: Rotation;
  readonly keys: tf.Tensor4D;
  readonly rotatedQueries: tf.Tensor4D;
  readonly rotatedKeys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
  readonly output: tf.Tensor4D;
  readonly logSums: tf.Tensor4D;
  /** What was added to the scores of each token, if anything was. */
  readonly bias?: tf.Tensor4D | undefined;
}

/** Attention of one text over itself; keeps what goes in and comes out. `dispose` it. */
export class RecordedAttention implements AttentionCache {
  readonly tokens = 0;
  readonly depths = new Map<number, RecordedDepth>();

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const {rotation, scoring, queries, keys} = rotated(fresh);
    const {values} = fresh;
    const options = ownScores(keys, scoring);
    const partials = [
      attend(
        queries,
        {kind: 'dense', dim: keys.shape[3], data: keys},
        {kind: 'dense', dim: values.shape[3], data: values},
        options,
      ),
    ];
    const output = mergePartials(partials);
    const kept = <T extends tf.Tensor>(x: T): T => tf.keep(tf.clone(x));
    this.depths.set(depth, {
      ...{depth, scoring},
      ...(rotation && {rotation: {...rotation, cos: kept(rotation.cos), sin: kept(rotation.sin)}}),
      keys: kept(fresh.keys),
      rotatedQueries: kept(queries),
      rotatedKeys: kept(keys),
      values: kept(values),
      output: kept(output),
      logSums: kept(partialLogSum(partials)),
      bias: options.bias && kept(options.bias),
    });
    return output;
  }

  forget(depth: number): void {
    const recorded = this.depths.get(depth);
    if (recorded !== undefined) tf.dispose({...recorded, scoring: {...recorded.scoring}});
    this.depths.delete(depth);
  }

  dispose(): void {
    for (const depth of this.depths.keys()) this.forget(depth);
  }
}

/** What is added to the keys as attended, the values and the output of one depth. */
export type ShiftsOfDepth = [keys: tf.Tensor4D, values: tf.Tensor4D, output: tf.Tensor4D];

/** Attention of one text over itself, with something added. Differentiable. */
export class ShiftedAttention implements AttentionCache {
  readonly tokens = 0;

  constructor(private readonly shifts: ReadonlyMap<number, ShiftsOfDepth>) {}

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const [ofKeys, ofValues, ofOutput] = this.shifts.get(depth)!;
    const {scoring, queries, keys} = rotated(fresh);
    const output = causalAttention(queries, tf.add(keys, ofKeys), tf.add(fresh.values, ofValues), scoring);
    return tf.add(output, ofOutput);
  }
}

/** Queries and keys as attended. */
function rotated({queries, keys, rope, ...options}: FreshTokens) {
  const [, , tokens, dim] = queries.shape;
  const scoring = scoringOf(options, dim);
  if (rope === undefined) return {queries, keys, scoring};
  const rotation = rotationFor(rope, dim, 0, tokens);
  const [rotatedQueries, rotatedKeys] = rotateBoth(queries, keys, rotation);
  return {queries: rotatedQueries, keys: rotatedKeys, rotation, scoring};
}
