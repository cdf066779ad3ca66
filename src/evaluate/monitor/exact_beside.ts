import * as tf from '@tensorflow/tfjs';
import {CacheStateError} from '../../../base/errors.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {full} from '../../../cache/policies/full.js';
import type {Past} from '../../../cache/past/past.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {KeptSums} from '../../../cache/watch/kept_sums.js';
import type {SeenTokens, Watcher} from '../../../cache/watch/watched_cache.js';

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
 * Runs a full cache beside a compressed one, with the same queries, keys and values, and compares their attention outputs. Make one for
 * each text, and `dispose` it.
 */
export class ExactBeside implements Watcher {
  /** One cache for each depth. The exact keys of a compressed layer are rebuilt from its latents. */
  private readonly exact: KVCache[] = [];
  private readonly latents: SeenTokens['latentsOf'][] = [];
  private readonly sums = new KeptSums();
  private readonly queries: number[] = [];
  private readonly ropes: (RopeConfig | undefined)[] = [];

  constructor(private readonly expectedTokens: number) {}

  see(depth: number, fresh: SeenTokens, output: tf.Tensor4D): void {
    const {queries, keys, values, rotation, rope} = fresh;
    this.exact[depth] ??= this.cacheFor(fresh);
    const exactOutput = this.exact[depth].attend(0, {
      queries,
      keys,
      values,
      rope,
      scale: fresh.scale,
      window: fresh.window,
    });
    this.latents[depth] = fresh.latentsOf;
    const {recent} = this.past(depth);
    const scale = fresh.scale ?? 1 / Math.sqrt(queries.shape[3]);
    const entropies = attentionEntropies(
      rotation ? rotate(queries, rotation) : queries,
      recent,
      scale,
      fresh.window,
    );
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
    const past = this.exact[depth]?.past(0);
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

  private cacheFor({queries, keys, values}: SeenTokens): KVCache {
    const [, heads, , dim] = queries.shape;
    const shape = {depth: 0, heads, kvHeads: keys.shape[1], dim, dimV: values.shape[3]};
    return new KVCache([shape], full(), {expectedTokens: this.expectedTokens});
  }

  async depthSums(depth: number): Promise<DepthSums> {
    const sums = await this.sums.read(String(depth));
    const [outputError = 0, outputEnergy = 0, entropy = 0, renyi2Entropy = 0] = sums?.numbers ?? [];
    return {outputError, outputEnergy, entropy, renyi2Entropy, queries: this.queries[depth] ?? 0};
  }

  dispose(): void {
    for (const cache of this.exact) cache.dispose();
    this.sums.dispose();
  }
}

/**
 * Computes entropies of the attention of the newest tokens over a dense past, in nats: float32 `[batch, heads, tokens, 1]` each. It needs
 * no matrix of queries x tokens: with scores s_j and L = ln sum_j exp(s_j),
 *
 *     -sum_j p_j ln p_j = L - sum_j p_j s_j = L - scale * q . (sum_j p_j k_j)
 *     -ln sum_j p_j^2   = 2 L - ln sum_j exp(2 s_j)
 *
 * follow from attention with the keys as values, once with the scores and once with twice the scores.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`, rotated as the keys are.
 * @param window sliding window: how many tokens a query sees, its own included. Default: all.
 */
export function attentionEntropies(
  queries: tf.Tensor4D,
  {keys, tokens}: Pick<Past['recent'], 'keys' | 'tokens'>,
  scale: number,
  window?: number,
): {entropy: tf.Tensor4D; renyi2: tf.Tensor4D} {
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
