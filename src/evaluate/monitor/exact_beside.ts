import * as tf from '@tensorflow/tfjs';
import {CacheStateError} from '../../../base/errors.js';
import {attendPast} from '../../../cache/past/attend_past.js';
import {type Past, noEvents} from '../../../cache/past/past.js';
import {kept, releasePast} from '../../../cache/past/past_tensors.js';
import {appendDense} from '../../../cache/past/segments.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {type Scoring, scoringOf} from '../../../ops/attention/scoring.js';
import {attentionEntropy, renyi2Entropy} from '../../../ops/linalg/ranks.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {KeptSums} from '../../../cache/watch/kept_sums.js';
import type {SeenTokens, Watcher} from '../../../cache/watch/watched_cache.js';
import {attentionProbabilities} from '../attention_probabilities.js';

/** Sums over all queries and heads of one depth. */
export interface DepthSums {
  /** ||o' - o||^2 and ||o||^2 of the attention outputs. */
  readonly outputError: number;
  readonly outputEnergy: number;
  /** Sums of -sum p ln p and of -ln sum p^2, nats. */
  readonly entropy: number;
  readonly renyi2Entropy: number;
  /** Number of queries, over all heads. */
  readonly queries: number;
}

/**
 * Attends with the same queries over all exact keys and values beside a compressed cache, and compares their attention outputs. Make one for
 * each text, and `dispose` it.
 */
export class ExactBeside implements Watcher {
  /** By depth: all tokens, beyond any window, too. The exact keys of a compressed layer are rebuilt from its latents. */
  private readonly exact: Past[] = [];
  private readonly latents: SeenTokens['latentsOf'][] = [];
  private readonly sums = new KeptSums();
  private readonly queries: number[] = [];
  private readonly ropes: (RopeConfig | undefined)[] = [];

  constructor(private readonly expectedTokens: number) {}

  see(depth: number, fresh: SeenTokens, output: tf.Tensor4D): void {
    const {rotation, rope, values} = fresh;
    const [queries, keys] = [fresh.queries, fresh.keys].map(x => (rotation ? rotate(x, rotation) : x)) as [
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const {relativeBias, ...scoring} = scoringOf(fresh, queries.shape[3]);
    const past = this.extended(depth, keys, values);
    const exactOutput = attendPast({...past, relativeBias}, queries, scoring);
    this.latents[depth] = fresh.latentsOf;
    const entropies = attentionEntropies(queries, past.recent, {...scoring, relativeBias});
    const terms = [
      tf.sum(tf.squaredDifference(output, exactOutput)),
      tf.sum(tf.square(exactOutput)),
      tf.sum(entropies.entropy),
      tf.sum(entropies.renyi2),
    ];
    this.sums.add(String(depth), tf.stack(terms));
    this.queries[depth] = (this.queries[depth] ?? 0) + queries.size / queries.shape[3];
    this.ropes[depth] = rope;
  }

  /** Returns the exact past of a depth: all tokens are in `recent`, keys rotated. */
  past(depth: number): Past {
    const past = this.exact[depth];
    if (past === undefined) throw new CacheStateError(`Depth ${depth} has seen no tokens yet.`);
    return past;
  }

  /** Returns the rotary positions of a depth. */
  ropeOf(depth: number): RopeConfig | undefined {
    return this.ropes[depth];
  }

  /** Returns the basis of the latent keys of a depth; undefined if its layer does not compress them. */
  latentsOf(depth: number): SeenTokens['latentsOf'] {
    return this.latents[depth];
  }

  /** The past of a depth with these tokens, rotated. */
  private extended(depth: number, keys: tf.Tensor4D, values: tf.Tensor4D): Past {
    const former = this.exact[depth];
    const start = former?.tokensSeen ?? 0;
    const recent = appendDense(former?.recent, keys, values, start, this.expectedTokens);
    const {past} = kept({past: {held: {}, recent, tokensSeen: start + keys.shape[2], events: noEvents}});
    if (former !== undefined) releasePast(former, past);
    return (this.exact[depth] = past);
  }

  async depthSums(depth: number): Promise<DepthSums> {
    const sums = await this.sums.read(String(depth));
    const [outputError = 0, outputEnergy = 0, entropy = 0, renyi2Entropy = 0] = sums?.numbers ?? [];
    return {outputError, outputEnergy, entropy, renyi2Entropy, queries: this.queries[depth] ?? 0};
  }

  dispose(): void {
    for (const past of this.exact) releasePast(past);
    this.exact.length = 0;
    this.sums.dispose();
  }
}

/**
 * Computes entropies of the attention of the newest tokens over a dense past, in nats: float32 `[batch, heads, tokens, 1]` each. It needs
 * no matrix of queries x tokens, unless scores are more than scaled: with scores s_j and L = ln sum_j exp(s_j),
 *
 *     -sum_j p_j ln p_j = L - sum_j p_j s_j = L - scale * q . (sum_j p_j k_j)
 *     -ln sum_j p_j^2   = 2 L - ln sum_j exp(2 s_j)
 *
 * follow from attention with the keys as values, once with the scores and once with twice the scores.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`, rotated as the keys are.
 */
export function attentionEntropies(
  queries: tf.Tensor4D,
  {keys, tokens}: Pick<Past['recent'], 'keys' | 'tokens'>,
  scoring: Scoring,
): {entropy: tf.Tensor4D; renyi2: tf.Tensor4D} {
  const {scale, window, softCap, alibi, relativeBias} = scoring;
  const isMore = softCap !== undefined || alibi === true || relativeBias !== undefined;
  if (isMore) return entropiesOfMatrix(queries, {keys, tokens}, scoring);
  const firstQuery = tokens - queries.shape[2];
  const seen = {
    tokens,
    firstQuery,
    ...(window !== undefined && {window: {size: window, firstQuery, positions: 0}}),
  };
  const over = (factor: number) => attend(queries, keys, keys, {...seen, scale: factor});
  const [once, twice] = [over(scale), over(2 * scale)];
  const logSum = partialLogSum([once]);
  const expectedScore = tf.mul(tf.sum(tf.mul(queries, mergePartials([once])), 3, true), scale);
  return {
    entropy: tf.sub(logSum, expectedScore),
    renyi2: tf.sub(tf.mul(logSum, 2), partialLogSum([twice])),
  };
}

function entropiesOfMatrix(
  queries: tf.Tensor4D,
  {keys, tokens}: Pick<Past['recent'], 'keys' | 'tokens'>,
  scoring: Scoring,
): {entropy: tf.Tensor4D; renyi2: tf.Tensor4D} {
  const [batch, heads, queryTokens] = queries.shape;
  const held = tf.slice(keys.data, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  const p = attentionProbabilities(queries, held, scoring);
  const ofQueries = (x: tf.Tensor): tf.Tensor4D => tf.reshape(x, [batch, heads, queryTokens, 1]);
  return {entropy: ofQueries(attentionEntropy(p)), renyi2: ofQueries(renyi2Entropy(p))};
}
