import type {AttentionCache} from '../cache/attention_cache.js';
import type {LayerShape} from '../cache/binding/layer_shape.js';
import type {FreshTokens} from '../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {rotateBoth} from '../ops/rotate/index.js';
import {rotationFor} from '../ops/rotate/rope.js';
import {attendOverItself} from './cached_attention.js';
import {type KeyMode, type RopeMode, basisNames, keyModeOf, projectedSizes} from './key_mode.js';
import {configOf} from './layer_args.js';
import {orthonormalRows} from './orthonormal_rows.js';
import {type HeadSizes, type Projected, SelfAttention, type SelfAttentionArgs} from './self_attention.js';

export interface EigenAttentionArgs extends SelfAttentionArgs {
  /** Numbers stored per key, from 1 to `headDim`; a list has one for each key head. Default: `rankRatio * headDim`, rounded. */
  keyRank?: number | readonly number[];
  /** Numbers stored per value, from 1 to `headDim`; a list has one for each key head. Default: `rankRatio * headDim`, rounded. */
  valueRank?: number | readonly number[];
  /** The ranks that are not given, as a share of `headDim`: above 0, at most 1. Default 0.5. */
  rankRatio?: number;
  /** Whether keys are compressed before their rotation or after; only with `rope`. See `EigenAttention`. Default `'before'`. */
  ropeMode?: RopeMode;
  /** Whether a weight `[kvHeads, headDim]` is added to rebuilt keys; only with `rope` and `ropeMode: 'before'`. Default false. */
  useKeyMean?: boolean;
  /** `false` computes the same function with the same weights and stores whole heads, to compare with. Default true. */
  useEigen?: boolean;
}

/**
 * Causal self-attention with low-rank keys and values (Eigen Attention, Saxena et al., 2024, arXiv 2408.05646): attention runs,
 * trains and caches in latents of `keyRank` and `valueRank` numbers per head. With bases E (encode) and D (decode) per key head
 * of dense weights W_q, W_k, W_v, W_o (`compress` finds them):
 *
 * - values: `W_v E_v^T` and `D_v W_o` are merged. The value and output projections are smaller; nothing else changes.
 * - keys without `rope`: `W_k E_k^T` and `W_q D_k^T` are merged as well.
 * - keys with `rope`, mode `before`: latents of unrotated keys, `W_k E_k^T`, are stored. Attention rebuilds keys with the weight
 *   `key_basis` = D_k and rotates them, tile by tile. This needs the lowest rank; each stored token costs rank x headDim
 *   multiplications per step.
 * - keys with `rope`, mode `after`: keys and queries are rotated, then projected by the weights `key_encoder` = E_k and
 *   `query_encoder` = D_k. Nothing is rebuilt, but rotated keys need a far higher rank.
 * - a `keyRank` of headDim with `rope`: keys stay as they are, at no extra cost.
 *
 * Scores are made as in dense layers, scaled by 1 / sqrt(headDim) by default, in every mode. Untrained bases are random and orthonormal. Heads whose rank is below the
 * layer's largest are padded with zeros. Every cache policy stores latents as it stores keys and values.
 * Input and output float32 `[batch, tokens, model dim]`. Without a cache the layer is differentiable.
 */
export class EigenAttention extends SelfAttention {
  /** @nocollapse */
  static readonly className = 'EigenkvEigenAttention';
  private readonly eigen: Required<
    Pick<EigenAttentionArgs, 'rankRatio' | 'ropeMode' | 'useKeyMean' | 'useEigen'>
  > &
    Pick<EigenAttentionArgs, 'keyRank' | 'valueRank'>;
  private readonly bases: Record<string, tf.LayerVariable> = {};

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
    const {numKvHeads, qkNorm} = this.options;
    if (qkNorm !== undefined) throw new InvalidArgumentError(noLatentsOfNormed(this.name));
    for (const [option, rank] of Object.entries({keyRank, valueRank})) {
      if (typeof rank === 'object' && rank.length !== numKvHeads) {
        throw new InvalidArgumentError(
          `${this.name}: ${option} has ${rank.length} numbers; expected one for each of the ${numKvHeads} key heads.`,
        );
      }
    }
    this.eigen = {keyRank, valueRank, rankRatio, ropeMode, useKeyMean, useEigen};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    super.build(inputShape);
    const {numKvHeads, kernelInitializer} = this.options;
    const {keyRank} = this.ranks();
    const shape: [number, number, number] = [numKvHeads, Math.max(...keyRank), this.headDim];
    const bases = basisNames[this.mode].map(name => this.addBasis(name, shape));
    if (this.hasKeyMean) this.addBasis('key_mean', [numKvHeads, this.headDim]);
    if (kernelInitializer === 'zeros') return;
    tf.tidy(() => {
      const rows = orthonormalRows(keyRank, shape);
      for (const basis of bases) basis.write(rows);
    });
    this.clearPadding();
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.eigen)};
  }

  protected override headSizes(): HeadSizes {
    const {headDim} = this;
    const {keyRank, valueRank} = this.ranks();
    const sizes = projectedSizes(this.mode, {headDim, keyRank: Math.max(...keyRank)});
    return {head: headDim, ...sizes, value: Math.max(...valueRank)};
  }

  protected override storedSizes({head, value}: HeadSizes): Pick<LayerShape, 'dim' | 'dimV' | 'headDim'> {
    if (!this.eigen.useEigen) return {dim: head, dimV: head, headDim: head};
    return {dim: Math.max(...this.ranks().keyRank), dimV: value, headDim: head};
  }

  protected override attend(projected: Projected, cache: AttentionCache | undefined): tf.Tensor4D {
    const {useEigen} = this.eigen;
    const storesLatents = useEigen && cache !== undefined && this.mode === 'before';
    const fresh = storesLatents ? this.latent(projected) : this.rebuilt(projected, cache?.tokens ?? 0);
    const wide = useEigen ? fresh : {...fresh, ...this.padded(fresh)};
    const output =
      cache === undefined ? attendOverItself(wide) : cache.attend(this.options.depth, {...wide, layer: this});
    return useEigen ? output : tf.slice(output, [0, 0, 0, 0], [-1, -1, -1, projected.values.shape[3]]);
  }

  /** What a cache gets in mode `before`: latents, and what rebuilds keys from them. */
  private latent(projected: Projected): FreshTokens {
    return {
      ...projected,
      keyBasis: this.basis('key_basis') as tf.Tensor3D,
      keyMean: this.hasKeyMean ? (this.basis('key_mean') as tf.Tensor2D) : undefined,
      rope: this.options.rope,
      ...this.scoring,
    };
  }

  /** Queries and keys of equal dim, as plain attention takes them; differentiable. */
  private rebuilt({queries, keys, values}: Projected, start: number): FreshTokens {
    const {rope, numKvHeads} = this.options;
    const {mode, scoring} = this;
    switch (mode) {
      case 'merged':
        return {queries, keys, values, ...scoring};
      case 'whole':
        return {queries, keys, values, rope, ...scoring};
      case 'before': {
        const whole = perHead(keys, this.basis('key_basis') as tf.Tensor3D, false);
        if (!this.hasKeyMean) return {queries, keys: whole, values, rope, ...scoring};
        const mean = tf.reshape(this.basis('key_mean'), [1, numKvHeads, 1, this.headDim]);
        return {queries, keys: tf.add(whole, mean), values, rope, ...scoring};
      }
      case 'after': {
        const rotation = rotationFor(rope!, this.headDim, start, queries.shape[2]);
        const [rotatedQueries, rotatedKeys] = rotateBoth(queries, keys, rotation);
        const encoded = (x: tf.Tensor4D, encoder: string) =>
          perHead(x, this.basis(encoder) as tf.Tensor3D, true);
        return {
          queries: encoded(rotatedQueries, 'query_encoder'),
          keys: encoded(rotatedKeys, 'key_encoder'),
          values,
          ...scoring,
        };
      }
    }
  }

  /** Latents padded with zeros to the size of a head, which changes neither a score nor the first numbers of the output. */
  private padded({queries, keys, values}: Projected): Projected {
    const wide = (x: tf.Tensor4D): tf.Tensor4D => {
      const missing = this.headDim - x.shape[3];
      return tf.pad(x, [...Array.from({length: 3}, (): [number, number] => [0, 0]), [0, missing]]);
    };
    return {queries: wide(queries), keys: wide(keys), values: wide(values)};
  }

  /** A weight that starts as zeros. */
  private addBasis(name: string, shape: tf.Shape): tf.LayerVariable {
    return (this.bases[name] = this.addWeight(name, shape, 'float32', tf.initializers.zeros()));
  }

  private basis(name: string): tf.Tensor {
    return this.bases[name]!.read();
  }

  private get mode(): KeyMode {
    const {rope} = this.options;
    const {ropeMode} = this.eigen;
    return keyModeOf({
      rotates: rope !== undefined,
      ropeMode,
      headDim: this.headDim,
      keyRanks: this.ranks().keyRank,
    });
  }

  private get hasKeyMean(): boolean {
    return this.eigen.useKeyMean && this.mode === 'before';
  }

  /** One rank per key head. */
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

  /** Latents beyond their head's rank start as zeros on both sides of a product. So their gradient is zero and they stay zeros. */
  private clearPadding(): void {
    const {numHeads, numKvHeads} = this.options;
    const {keyRank, valueRank} = this.ranks();
    const group = numHeads / numKvHeads;
    tf.tidy(() => {
      if (this.mode === 'merged' || this.mode === 'before') this.scaleMatrix('key', headMask(keyRank, 1));
      if (this.mode === 'merged') this.scaleMatrix('query', headMask(keyRank, group));
      this.scaleMatrix('value', headMask(valueRank, 1));
      this.scaleMatrix('output', tf.expandDims(headMask(valueRank, group), 1));
    });
  }
}

/** A norm of keys is not linear: no product of weights gives their latents. */
function noLatentsOfNormed(layer: string): string {
  return (
    `${layer}: its queries and keys are normalised (qkNorm) between projection and attention, so bases cannot be merged into the ` +
    'projections. Compress the cache instead: every policy stores normalised keys, onlineSvd in low rank.'
  );
}

/** 1 for each latent within its head's rank and 0 beyond, `[heads * repeats * largest rank]`. */
function headMask(ranks: readonly number[], repeats: number): tf.Tensor1D {
  const most = Math.max(...ranks);
  return tf.tensor1d(
    ranks.flatMap(rank => Array.from({length: repeats * most}, (_, i) => (i % most < rank ? 1 : 0))),
  );
}

/** Each head's tokens times a matrix of its key head: `[batch, heads, tokens, a]` to `[batch, heads, tokens, b]`; differentiable. */
function perHead(x: tf.Tensor4D, matrices: tf.Tensor3D, transpose: boolean): tf.Tensor4D {
  const [batch, heads, tokens, dim] = x.shape;
  const [kvHeads] = matrices.shape;
  // the query heads of a group are adjacent: together they are the rows of one matrix per key head
  const rows = tf.reshape(x, [batch, kvHeads, (heads / kvHeads) * tokens, dim]);
  const repeated = tf.stack(Array.from({length: batch}, () => matrices)); // the gradient of tfjs' matMul does not broadcast
  return tf.reshape(tf.matMul(rows, repeated, false, transpose), [batch, heads, tokens, -1]);
}

tf.serialization.registerClass(EigenAttention);

/** Causal self-attention with low-rank keys and values; see `EigenAttention`. */
export function eigenAttention(args: EigenAttentionArgs): EigenAttention {
  return new EigenAttention(args);
}
