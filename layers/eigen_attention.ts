import type {AttentionCache} from '../cache/attention_cache.js';
import type {LayerShape} from '../cache/binding/layer_shape.js';
import type {FreshTokens} from '../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {rotate} from '../ops/rotate/index.js';
import {rotationFor} from '../ops/rotate/rope.js';
import {attendOverItself} from './cached_attention.js';
import {configOf} from './layer_args.js';
import {orthonormalRows} from './orthonormal_rows.js';
import {type HeadSizes, type Projected, SelfAttention, type SelfAttentionArgs} from './self_attention.js';

/** Whether keys are compressed before they rotate, or behind it. */
export type RopeMode = 'before' | 'after';

export interface EigenAttentionArgs extends SelfAttentionArgs {
  /** Numbers that are stored of a key, at most `headDim`; a list has one for each key head. Default: by `rankRatio`. */
  keyRank?: number | readonly number[];
  /** The same for values. */
  valueRank?: number | readonly number[];
  /** Ranks that are not given, as a share of `headDim`: above 0, at most 1. Default 0.5. */
  rankRatio?: number;
  /** With `rope`: see `EigenAttention`. Default 'before'. */
  ropeMode?: RopeMode;
  /** A constant part of keys, `[kvHeads, headDim]`, beside their latents; only with `rope` and mode `before`. Default false. */
  useKeyMean?: boolean;
  /** `false`: the same function of the same weights at the sizes of uncompressed heads, to compare with. Default true. */
  useEigen?: boolean;
}

/**
 * Causal self-attention whose keys and values live in spaces of few dimensions (Eigen Attention, Saxena et al., 2024, arXiv
 * 2408.05646): attention runs, trains and caches in latents of `keyRank` and `valueRank` numbers a head. With bases E, D of
 * each key head, of dense weights W_q, W_k, W_v, W_o (see `compressModel`, which finds them):
 *
 * - values: `W_v E_v^T` and `D_v W_o` are merged: the value and output projections are smaller, and nothing else changes;
 * - keys without `rope`: `W_k E_k^T` and `W_q D_k^T` are merged as well;
 * - keys with `rope`, mode `before`: latents of unrotated keys, `W_k E_k^T`, are stored; with the weight `key_basis` = D_k, keys
 *   are rebuilt and rotated where they are met, tile by tile. The lowest rank; each stored token costs rank x headDim
 *   multiplications a step;
 * - mode `after`: keys and queries are rotated, then projected by the weights `key_encoder` = E_k and `query_encoder` = D_k.
 *   Nothing is rebuilt; rotated keys need a far higher rank;
 * - a `keyRank` of headDim with `rope`: keys stay as they are, and cost nothing more.
 *
 * Scores are scaled by 1 / sqrt(headDim) throughout. Untrained, bases are random and orthonormal. Heads with a rank below the
 * layer's largest are padded with zeros. Every policy of a cache stores the latents as it would store keys and values.
 * Input and output float32 `[batch, tokens, model dim]`, with and without a cache as in `Attention`; differentiable without.
 */
export class EigenAttention extends SelfAttention {
  /** @nocollapse */
  static readonly className = 'EigenkvEigenAttention';
  private readonly eigen: Required<
    Pick<EigenAttentionArgs, 'rankRatio' | 'ropeMode' | 'useKeyMean' | 'useEigen'>
  > &
    Pick<EigenAttentionArgs, 'keyRank' | 'valueRank'>;

  constructor(args: EigenAttentionArgs) {
    super(args);
    const {
      keyRank,
      valueRank,
      rankRatio = 0.5,
      ropeMode = 'before',
      useKeyMean = false,
      useEigen = true,
    } = args;
    if (!(rankRatio > 0 && rankRatio <= 1)) {
      throw new InvalidArgumentError(
        `${this.name}: rankRatio = ${rankRatio}; expected a number above 0, at most 1.`,
      );
    }
    if (!['before', 'after'].includes(ropeMode)) {
      throw new InvalidArgumentError(`${this.name}: ropeMode = "${ropeMode}"; expected "before" or "after".`);
    }
    if (useKeyMean && (args.rope === undefined || ropeMode === 'after')) {
      throw new InvalidArgumentError(
        `${this.name}: useKeyMean goes with rope and ropeMode "before"; elsewhere a mean of the keys changes no attention.`,
      );
    }
    const {numKvHeads} = this.options;
    for (const [option, rank] of Object.entries({keyRank, valueRank})) {
      if (typeof rank === 'object' && rank.length !== numKvHeads) {
        throw new InvalidArgumentError(
          `${this.name}: ${option} has ${rank.length} numbers; expected one for each of the ${numKvHeads} key heads.`,
        );
      }
    }
    this.eigen = {
      ...(keyRank !== undefined && {keyRank}),
      ...(valueRank !== undefined && {valueRank}),
      rankRatio,
      ropeMode,
      useKeyMean,
      useEigen,
    };
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    super.build(inputShape);
    const {numKvHeads, kernelInitializer} = this.options;
    const {keyRank} = this.ranks();
    const shape: [number, number, number] = [numKvHeads, Math.max(...keyRank), this.headDim];
    const start = (names: readonly string[]) => {
      const variables = names.map(name => this.addVariable(name, shape));
      if (kernelInitializer === 'zeros') return;
      const rows = orthonormalRows(keyRank, shape);
      for (const variable of variables) variable.write(rows);
      rows.dispose();
    };
    if (this.mode === 'before') start(['key_basis']);
    if (this.mode === 'after') start(['key_encoder', 'query_encoder']);
    if (this.hasKeyMean) this.addVariable('key_mean', [numKvHeads, this.headDim]);
    if (kernelInitializer !== 'zeros') this.clearPadding();
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.eigen)};
  }

  protected override headSizes(): HeadSizes {
    const {headDim: head} = this;
    const {keyRank, valueRank} = this.ranks();
    const [key, value] = [Math.max(...keyRank), Math.max(...valueRank)];
    switch (this.mode) {
      case 'merged':
        return {head, query: key, key, value};
      case 'before':
        return {head, query: head, key, value};
      case 'whole':
      case 'after':
        return {head, query: head, key: head, value};
    }
  }

  protected override storedSizes({head, value}: HeadSizes): Pick<LayerShape, 'dim' | 'dimV' | 'headDim'> {
    if (!this.eigen.useEigen) return {dim: head, dimV: head, headDim: head};
    return {dim: Math.max(...this.ranks().keyRank), dimV: value, headDim: head};
  }

  protected override attend(projected: Projected, cache: AttentionCache | undefined): tf.Tensor4D {
    const start = cache?.tokens ?? 0;
    const {useEigen} = this.eigen;
    const value = projected.values.shape[3];
    const fresh =
      useEigen && cache !== undefined ? this.latent(projected, start) : this.rebuilt(projected, start);
    const wide = useEigen ? fresh : {...fresh, ...this.padded(fresh)};
    const output =
      cache === undefined ? attendOverItself(wide) : cache.attend(this.options.depth, {...wide, layer: this});
    return useEigen ? output : tf.slice(output, [0, 0, 0, 0], [-1, -1, -1, value]);
  }

  /** What a cache is given: latents. */
  private latent({queries, keys, values}: Projected, start: number): FreshTokens {
    const {rope} = this.options;
    const scale = 1 / Math.sqrt(this.headDim);
    if (this.mode !== 'before') return this.rebuilt({queries, keys, values}, start);
    return {
      queries,
      keys,
      values,
      keyBasis: this.variable('key_basis') as tf.Tensor3D,
      ...(this.hasKeyMean && {keyMean: this.variable('key_mean') as tf.Tensor2D}),
      ...(rope && {rope}),
      scale,
    };
  }

  /** Queries and keys of equal dim, as plain attention takes them; differentiable. */
  private rebuilt({queries, keys, values}: Projected, start: number): FreshTokens {
    const {rope, numKvHeads} = this.options;
    const scale = 1 / Math.sqrt(this.headDim);
    switch (this.mode) {
      case 'merged':
        return {queries, keys, values, scale};
      case 'whole':
        return {queries, keys, values, ...(rope && {rope}), scale};
      case 'before': {
        const whole = perHead(keys, this.variable('key_basis') as tf.Tensor3D, false);
        const mean = this.hasKeyMean ? this.variable('key_mean') : undefined;
        const moved: tf.Tensor4D = mean
          ? tf.add(whole, tf.reshape(mean, [1, numKvHeads, 1, this.headDim]))
          : whole;
        return {queries, keys: moved, values, ...(rope && {rope}), scale};
      }
      case 'after': {
        const rotation = rotationFor(rope!, this.headDim, start, queries.shape[2]);
        const encoded = (x: tf.Tensor4D, encoder: string) =>
          perHead(rotate(x, rotation), this.variable(encoder) as tf.Tensor3D, true);
        return {
          queries: encoded(queries, 'query_encoder'),
          keys: encoded(keys, 'key_encoder'),
          values,
          scale,
        };
      }
    }
  }

  /** Zeros behind latents, up to the size of a head: they change neither a score nor the output's first numbers. */
  private padded({queries, keys, values}: Projected): Projected {
    const {headDim} = this;
    const wide = (x: tf.Tensor4D): tf.Tensor4D =>
      tf.pad(x, [
        [0, 0],
        [0, 0],
        [0, 0],
        [0, headDim - x.shape[3]],
      ]);
    return {queries: wide(queries), keys: wide(keys), values: wide(values)};
  }

  /** Which of the ways of keys this layer goes; keys that keep all their numbers need none. */
  private get mode(): 'merged' | 'whole' | RopeMode {
    if (this.options.rope === undefined) return 'merged';
    return this.ranks().keyRank.every(rank => rank === this.headDim) ? 'whole' : this.eigen.ropeMode;
  }

  private get hasKeyMean(): boolean {
    return this.eigen.useKeyMean && this.mode === 'before';
  }

  /** The ranks of each key head. */
  private ranks(): {keyRank: number[]; valueRank: number[]} {
    const {headDim} = this;
    const {numKvHeads} = this.options;
    const {rankRatio} = this.eigen;
    const listed = (option: 'keyRank' | 'valueRank') => {
      const given = this.eigen[option] ?? Math.max(1, Math.round(rankRatio * headDim));
      const ranks = typeof given === 'number' ? Array<number>(numKvHeads).fill(given) : [...given];
      for (const rank of ranks) {
        if (Number.isInteger(rank) && rank >= 1 && rank <= headDim) continue;
        throw new InvalidArgumentError(
          `${this.name}: ${option} = ${rank}; expected whole numbers from 1 to the head's ${headDim}.`,
        );
      }
      return ranks;
    };
    return {keyRank: listed('keyRank'), valueRank: listed('valueRank')};
  }

  /**
   * Latents beyond the rank of their head start as zeros on both sides of their product, where no gradient moves them: they
   * stay zeros in training.
   */
  private clearPadding(): void {
    const {numHeads, numKvHeads} = this.options;
    const {keyRank, valueRank} = this.ranks();
    const group = numHeads / numKvHeads;
    tf.tidy(() => {
      if (this.mode === 'merged' || this.mode === 'before')
        this.scaleVariable('key_kernel', headMask(keyRank, 1));
      if (this.mode === 'merged') this.scaleVariable('query_kernel', headMask(keyRank, group));
      this.scaleVariable('value_kernel', headMask(valueRank, 1));
      this.scaleVariable('output_kernel', tf.expandDims(headMask(valueRank, group), 1));
    });
  }
}

/** 1 for each latent of a head within its rank and 0 beyond, heads behind each other, each `repeats` times. */
function headMask(ranks: readonly number[], repeats: number): tf.Tensor1D {
  const most = Math.max(...ranks);
  return tf.tensor1d(
    ranks.flatMap(rank => Array.from({length: repeats * most}, (_, i) => (i % most < rank ? 1 : 0))),
  );
}

/** Every head's tokens times a matrix of its own: `[batch, heads, tokens, a]` to `[.., b]`; differentiable. */
function perHead(x: tf.Tensor4D, matrices: tf.Tensor3D, transpose: boolean): tf.Tensor4D {
  const [batch, heads, tokens, dim] = x.shape;
  const [kvHeads] = matrices.shape;
  // the query heads of a group lie behind each other: rows of one matrix for each key head
  const rows = tf.reshape(x, [batch, kvHeads, (heads / kvHeads) * tokens, dim]);
  const repeated = tf.stack(Array.from({length: batch}, () => matrices)); // tfjs' matMul has no gradient where it repeats
  return tf.reshape(tf.matMul(rows, repeated, false, transpose), [batch, heads, tokens, -1]);
}

tf.serialization.registerClass(EigenAttention);

/** Attention in a low-rank space; see `EigenAttention`. */
export function eigenAttention(args: EigenAttentionArgs): EigenAttention {
  return new EigenAttention(args);
}
