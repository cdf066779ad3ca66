import {attention} from '../../../layers/attention.js';
import {eigenAttention} from '../../../layers/eigen_attention.js';
import {type KeyMode, basisNames, keyModeOf, projectedSizes} from '../../../layers/key_mode.js';
import type {QkNorm, QueryGrowth} from '../../../layers/qk_norm.js';
import {type SelfAttention, attentionKernels} from '../../../layers/self_attention.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {type BuildOptions, matrixArgs} from './build_options.js';
import type {ModelCompression} from './compression.js';

/** What of a model's config its attention depends on. */
export interface AttentionConfig {
  /** Number of attention layers, one after the other. */
  readonly depths: number;
  /** Query heads per depth. */
  readonly heads: number;
  /** Key and value heads per depth; divides `heads`. */
  readonly kvHeads: number;
  /** Numbers per head. */
  readonly headDim: number;
  /** Rotary positions; rotated pairs are (i, i + P) of P pairs. Default: none. */
  readonly rope?: RopeConfig;
  /** The depths that rotate, if `rope` is given. Default: all. */
  readonly rotated?: readonly boolean[];
  /** How many tokens a token attends to at depths with a window, itself included. Default: all before it, at every depth. */
  readonly window?: number;
  /** The depths that have the window, if `window` is given. Default: all. */
  readonly windowed?: readonly boolean[];
  /** Rotary positions at depths with a window. Default: `rope`. */
  readonly windowRope?: RopeConfig;
  /** Factor of the attention scores. Default 1 / sqrt(headDim). */
  readonly attentionScale?: number;
  /** The bound c of the attention scores, c tanh(s / c). Default: none. */
  readonly attentionSoftCap?: number;
  /** Whether attention scores fall with the distance (ALiBi). Default false. */
  readonly alibi?: boolean;
  /** Root mean square norms of queries and keys: see `QkNorm`. Default: none. */
  readonly qkNorm?: QkNorm;
  /** How queries grow with their position: see `QueryGrowth`. Default: they do not. */
  readonly queryGrowth?: QueryGrowth;
  /** Added to the mean square, or the variance, in normalisations. */
  readonly normEpsilon: number;
  /** Which projections have biases. */
  readonly biases: {readonly queryKeyValue: boolean; readonly attentionOutput: boolean};
  /** How attention was compressed: see `compress`. Default: it was not. */
  readonly compression?: ModelCompression;
}

/** The attention layer of a depth, compressed if the config says so. */
export function attentionLayer(
  config: AttentionConfig,
  {name, depth}: {readonly name: string; readonly depth: number},
  options: BuildOptions,
): SelfAttention {
  const {heads, kvHeads, headDim, biases, qkNorm, queryGrowth, normEpsilon, compression} = config;
  const shared = {
    ...matrixArgs(options, name, attentionKernels),
    depth,
    numHeads: heads,
    numKvHeads: kvHeads,
    headDim,
    rope: ropeAt(config, depth),
    scale: config.attentionScale,
    softCap: config.attentionSoftCap,
    window: isWindowed(config, depth) ? config.window : undefined,
    alibi: config.alibi,
    ...{qkNorm, qkNormEpsilon: normEpsilon, queryGrowth},
    useBias: biases.queryKeyValue,
    useOutputBias: hasOutputBias(config),
  };
  if (compression === undefined) return attention(shared);
  return eigenAttention({...shared, ...eigenArgs({rope: shared.rope, headDim}, compression, depth)});
}

/** Whether a depth has the window of the config. */
export function isWindowed(
  {window, windowed}: Pick<AttentionConfig, 'window' | 'windowed'>,
  depth: number,
): boolean {
  return window !== undefined && windowed?.[depth] !== false;
}

/** The rotation of a depth; undefined if it has none. */
function ropeAt(
  {
    rope,
    rotated,
    windowRope = rope,
    ...config
  }: Pick<AttentionConfig, 'rope' | 'rotated' | 'window' | 'windowed' | 'windowRope'>,
  depth: number,
): RopeConfig | undefined {
  if (rotated?.[depth] === false) return undefined;
  return isWindowed(config, depth) ? windowRope : rope;
}

type RotatedHeads = Pick<AttentionConfig, 'rope' | 'headDim'>;

/** The key mode of a compressed depth whose rotation is `rope`: see `KeyMode`. */
export function keyModeAt(
  {rope, headDim}: RotatedHeads,
  {ropeMode, keyRanks}: Pick<ModelCompression, 'ropeMode' | 'keyRanks'>,
  depth: number,
): KeyMode {
  return keyModeOf({rotates: rope !== undefined, ropeMode, headDim, keyRanks: [keyRanks[depth]!]});
}

/** The arguments that a compressed layer has and a dense one lacks. */
export function eigenArgs(heads: RotatedHeads, compression: ModelCompression, depth: number) {
  const {ropeMode, keyRanks, valueRanks, centered, cachePolicies} = compression;
  return {
    keyRank: keyRanks[depth]!,
    valueRank: valueRanks[depth]!,
    ropeMode,
    useKeyMean: centered && keyModeAt(heads, compression, depth) === 'before',
    cachePolicy: cachePolicies?.[depth],
  };
}

export function hasOutputBias({
  biases,
  compression,
}: Pick<AttentionConfig, 'biases' | 'compression'>): boolean {
  return biases.attentionOutput || compression?.centered === true;
}

/** A variable of an attention layer and its shape, as files have it. */
export interface AttentionVariable {
  readonly variable: string;
  readonly hub: string;
  readonly shape: readonly number[];
}

/** Columns of a depth's query, key and value projections, rows of its output projection, and the variables that only compressed layers have. */
export function attentionSizes(
  config: AttentionConfig,
  depth: number,
): {query: number; key: number; value: number; joined: number; extra: AttentionVariable[]} {
  const {heads, kvHeads, headDim, compression} = config;
  if (compression === undefined) {
    const [all, stored] = [heads * headDim, kvHeads * headDim];
    return {query: all, key: stored, value: stored, joined: all, extra: []};
  }
  const rotatedHeads = {rope: ropeAt(config, depth), headDim};
  const {keyRank, valueRank, useKeyMean} = eigenArgs(rotatedHeads, compression, depth);
  const mode = keyModeAt(rotatedHeads, compression, depth);
  const {query, key} = projectedSizes(mode, {headDim, keyRank});
  const extra = (variable: string, ...shape: number[]) => ({
    variable,
    hub: variable.replace(/^(k|q)[a-z]+_/, '$1_'), // key_basis is k_basis in files, as k_proj is
    shape: [kvHeads, ...shape],
  });
  return {
    query: heads * query,
    key: kvHeads * key,
    value: kvHeads * valueRank,
    joined: heads * valueRank,
    extra: [
      ...basisNames[mode].map(name => extra(name, keyRank, headDim)),
      ...(useKeyMean ? [extra('key_mean', headDim)] : []),
    ],
  };
}
