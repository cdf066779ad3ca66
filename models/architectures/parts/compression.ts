import * as v from 'valibot';
import {ModelError} from '../../../base/errors.js';
import {optionValue, type Spec} from '../../../base/options.js';
import {attention} from '../../../layers/attention.js';
import {eigenAttention} from '../../../layers/eigen_attention.js';
import {
  type KeyMode,
  type RopeMode,
  basisNames,
  keyModeOf,
  projectedSizes,
} from '../../../layers/key_mode.js';
import {
  type SelfAttention,
  type SelfAttentionArgs,
  attentionKernels,
} from '../../../layers/self_attention.js';
import {type BuildOptions, matrixArgs} from './build_options.js';

/** How the attention of a model was compressed: what its weights do not say. */
export interface ModelCompression {
  readonly ropeMode: RopeMode;
  /** Numbers stored per key and head, one rank per depth. */
  readonly keyRanks: readonly number[];
  /** Numbers stored per value and head, one rank per depth. */
  readonly valueRanks: readonly number[];
  /** Whether means were subtracted: output projections then have a bias, and so do rebuilt keys. */
  readonly centered: boolean;
  /** The policy that each depth asks for in a cache without a plan. Default: `full`. */
  readonly cachePolicies?: readonly Spec[];
}

/** What of a model's config its attention depends on. */
export interface AttentionConfig {
  readonly depths: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly rope?: SelfAttentionArgs['rope'];
  readonly biases: {readonly queryKeyValue: boolean; readonly attentionOutput: boolean};
  readonly compression?: ModelCompression;
}

/** The attention layer of a depth, compressed if the config says so. */
export function attentionLayer(
  config: AttentionConfig,
  {name, depth}: {readonly name: string; readonly depth: number},
  options: BuildOptions,
): SelfAttention {
  const {heads, kvHeads, headDim, rope, biases, compression} = config;
  const shared = {
    ...matrixArgs(options, name, attentionKernels),
    depth,
    numHeads: heads,
    numKvHeads: kvHeads,
    headDim,
    rope,
    useBias: biases.queryKeyValue,
    useOutputBias: hasOutputBias(config),
  };
  if (compression === undefined) return attention(shared);
  return eigenAttention({...shared, ...eigenArgs(config, compression, depth)});
}

type RotatedHeads = Pick<AttentionConfig, 'rope' | 'headDim'>;

/** The key mode of a compressed depth: see `KeyMode`. */
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

export function hasOutputBias({biases, compression}: AttentionConfig): boolean {
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
  {heads, kvHeads, headDim, rope, compression}: AttentionConfig,
  depth: number,
): {query: number; key: number; value: number; joined: number; extra: AttentionVariable[]} {
  if (compression === undefined) {
    const [all, stored] = [heads * headDim, kvHeads * headDim];
    return {query: all, key: stored, value: stored, joined: all, extra: []};
  }
  const {keyRank, valueRank, useKeyMean} = eigenArgs({rope, headDim}, compression, depth);
  const mode = keyModeAt({rope, headDim}, compression, depth);
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

/** The key of a hub's config.json that holds a compression. */
export const compressionKey = 'eigenkv_compression';
const version = 1;

const rank = v.pipe(v.number(), v.integer(), v.minValue(1));
const schema = v.strictObject({
  version: v.literal(version),
  rope_mode: v.picklist(['before', 'after']),
  key_ranks: v.array(rank),
  value_ranks: v.array(rank),
  centered: v.boolean(),
  cache_policies: v.optional(
    v.array(v.strictObject({name: v.string(), options: v.optional(v.record(v.string(), optionValue))})),
  ),
});

export function compressionToJson(compression: ModelCompression): Record<string, unknown> {
  const {ropeMode, keyRanks, valueRanks, centered, cachePolicies} = compression;
  return {
    version,
    rope_mode: ropeMode,
    key_ranks: keyRanks,
    value_ranks: valueRanks,
    centered,
    cache_policies: cachePolicies,
  };
}

/**
 * Reads what `compressionToJson` gave.
 * @throws ModelError if it is of a newer version, or does not fit the model.
 */
export function compressionFromJson(json: unknown, {depths, headDim}: AttentionConfig): ModelCompression {
  const given = v.safeParse(v.looseObject({version: v.number()}), json);
  if (given.success && given.output.version > version) {
    throw new ModelError(
      `The model was compressed by a newer eigenkv (${compressionKey} of version ${given.output.version}); this one reads ` +
        `version ${version}. Update eigenkv.`,
    );
  }
  const result = v.safeParse(schema, json, {abortEarly: true}); // an untrusted file can be wrong thousands of times
  if (!result.success) {
    const [issue] = result.issues;
    throw new ModelError(
      `${compressionKey}.${v.getDotPath(issue) ?? 'version'} in config.json is wrong: ${issue.message}. Compress the model again.`,
    );
  }
  const {rope_mode, key_ranks, value_ranks, centered, cache_policies} = result.output;
  for (const [name, ranks] of Object.entries({key_ranks, value_ranks})) {
    if (ranks.length === depths && ranks.every(one => one <= headDim)) continue;
    throw new ModelError(
      `config.json has ${compressionKey}.${name} = [${ranks.join(', ')}]; expected ${depths} ranks, one per depth, of at ` +
        `most the head's ${headDim}.`,
    );
  }
  return {
    ropeMode: rope_mode,
    keyRanks: key_ranks,
    valueRanks: value_ranks,
    centered,
    cachePolicies: cache_policies,
  };
}
