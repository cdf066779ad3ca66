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

/** Sums over all queries of a depth, head by head added up. */
export interface DepthSums {
  /** ||o' - o||^2 and ||o||^2 of the attention outputs. */
  readonly outputError: number;
  readonly outputEnergy: number;
  /** Of -sum p ln p and -ln sum p^2, nats. */
  readonly entropy: number;
  readonly renyi2Entropy: number;
  /** How many queries the entropies are of, those of every head. */
  readonly queries: number;
}

/**
 * Keeps a full cache beside a compressed one, fed with the same tokens: what attention over the exact past gives to the very
 * queries that met the compressed one. One for each text; `dispose` it.
 */
export class ExactBeside implements Watcher {
  /** One for each depth: exact keys of a compressed layer are those that its latents stand for. */
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

  /** The exact past of a depth: all tokens lie in `recent`, keys rotated. */
  past(depth: number): Past {
    const past = this.exact[depth]?.past(0);
    if (past === undefined) throw new CacheStateError(`Depth ${depth} got no tokens yet.`);
    return past;
  }

  /** How the keys of a depth rotate. */
  ropeOf(depth: number): RopeConfig | undefined {
    return this.ropes[depth];
  }

  /** What the keys of a depth are latents of, where its layer compresses them. */
  latentsOf(depth: number): SeenTokens['latentsOf'] {
    return this.latents[depth];
  }

  private cacheFor({queries, keys, values}: SeenTokens): KVCache {
    const [, heads, , dim] = queries.shape;
    const row = {depth: 0, heads, kvHeads: keys.shape[1], dim, dimV: values.shape[3]};
    return new KVCache([row], full(), {expectedTokens: this.expectedTokens});
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
 * Entropies of the attention of the newest tokens over a dense past, nats: float32 `[batch, heads, tokens, 1]` each. Never
 * a matrix of queries x tokens, since with s_j the scores and L = ln sum_j exp(s_j)
 *
 *     -sum_j p_j ln p_j = L - sum_j p_j s_j = L - scale * q . (sum_j p_j k_j)
 *     -ln sum_j p_j^2   = 2 L - ln sum_j exp(2 s_j)
 *
 * are what attention gives that takes the keys for its values, once with the scores and once with twice the scores.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`, rotated as the keys are.
 * @param window tokens that a query sees. Default: all.
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
