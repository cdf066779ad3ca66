import * as v from 'valibot';
import {attention} from '../../layers/attention.js';
import {type RopeMode, eigenAttention} from '../../layers/eigen_attention.js';
import type {SelfAttentionArgs} from '../../layers/self_attention.js';
import {ModelError} from '../../base/errors.js';
import {optionValue} from '../../base/options.js';

/** How the attention of a model was compressed: what of it is not in the weights. */
export interface ModelCompression {
  readonly ropeMode: RopeMode;
  /** Numbers that are stored of a key, by depth. */
  readonly keyRanks: readonly number[];
  readonly valueRanks: readonly number[];
  /** Means were taken off: the output projections have a bias, and so have rebuilt keys. */
  readonly centered: boolean;
  /** The policy that each depth asks for in a cache without a plan. */
  readonly cachePolicies?: readonly NonNullable<SelfAttentionArgs['cachePolicy']>[];
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

/** The attention layer of a depth: compressed where the config says so. */
export function attentionLayer(
  config: AttentionConfig,
  args: Required<Pick<SelfAttentionArgs, 'kernelInitializer' | 'depth'>> & {readonly name: string},
): ReturnType<typeof attention> | ReturnType<typeof eigenAttention> {
  const {heads, kvHeads, headDim, rope, biases, compression} = config;
  const shared = {
    ...args,
    numHeads: heads,
    numKvHeads: kvHeads,
    headDim,
    rope,
    useBias: biases.queryKeyValue,
    useOutputBias: hasOutputBias(config),
  };
  if (compression === undefined) return attention(shared);
  return eigenAttention({...shared, ...eigenArgs(config, compression, args.depth)});
}

/** What sets a compressed layer apart from a dense one. */
export function eigenArgs(
  {rope, headDim}: Pick<AttentionConfig, 'rope' | 'headDim'>,
  {ropeMode, keyRanks, valueRanks, centered, cachePolicies}: ModelCompression,
  depth: number,
) {
  const cachePolicy = cachePolicies?.[depth];
  return {
    keyRank: keyRanks[depth]!,
    valueRank: valueRanks[depth]!,
    ropeMode,
    useKeyMean: centered && rope !== undefined && ropeMode === 'before' && keyRanks[depth]! < headDim,
    cachePolicy,
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

/** Columns of a depth's query, key and value projections, and the variables that only compressed layers have. */
export function attentionSizes(
  {heads, kvHeads, headDim, rope, compression}: AttentionConfig,
  depth: number,
): {query: number; key: number; value: number; joined: number; extra: AttentionVariable[]} {
  if (compression === undefined) {
    const stored = kvHeads * headDim;
    return {query: heads * headDim, key: stored, value: stored, joined: heads * headDim, extra: []};
  }
  const {ropeMode} = compression;
  const [keyRank, valueRank] = [compression.keyRanks[depth]!, compression.valueRanks[depth]!];
  const basis = (variable: string, hub: string) => ({variable, hub, shape: [kvHeads, keyRank, headDim]});
  const sizes = {value: kvHeads * valueRank, joined: heads * valueRank};
  if (rope === undefined) return {...sizes, query: heads * keyRank, key: kvHeads * keyRank, extra: []};
  if (keyRank === headDim) {
    // keys that keep all their numbers stay as they are
    return {...sizes, query: heads * headDim, key: kvHeads * headDim, extra: []};
  }
  if (ropeMode === 'after') {
    const extra = [basis('key_encoder', 'k_encoder'), basis('query_encoder', 'q_encoder')];
    return {...sizes, query: heads * headDim, key: kvHeads * headDim, extra};
  }
  const mean = {variable: 'key_mean', hub: 'k_mean', shape: [kvHeads, headDim]};
  const extra = [basis('key_basis', 'k_basis'), ...(compression.centered ? [mean] : [])];
  return {...sizes, query: heads * headDim, key: kvHeads * keyRank, extra};
}

/** The key of a hub's config.json under which a compression stands. */
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
    v.array(
      v.strictObject({
        name: v.string(),
        options: v.optional(v.record(v.string(), optionValue)),
      }),
    ),
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
 * @throws ModelError where it is of a newer version, or does not fit the model.
 */
export function compressionFromJson(json: unknown, {depths, headDim}: AttentionConfig): ModelCompression {
  const given = v.safeParse(v.looseObject({version: v.number()}), json);
  if (given.success && given.output.version > version) {
    throw new ModelError(
      `The model was compressed by a newer eigenkv (${compressionKey} of version ${given.output.version}); this one reads ` +
        `version ${version}. Update eigenkv.`,
    );
  }
  const result = v.safeParse(schema, json, {abortEarly: true}); // a text of a stranger can be wrong thousands of times
  if (!result.success) {
    const [issue] = result.issues;
    throw new ModelError(
      `config.json has ${compressionKey}.${v.getDotPath(issue) ?? 'version'} wrong: ${issue.message}. Compress the model again.`,
    );
  }
  const {rope_mode, key_ranks, value_ranks, centered, cache_policies} = result.output;
  for (const [name, ranks] of Object.entries({key_ranks, value_ranks})) {
    if (ranks.length === depths && ranks.every(one => one <= headDim)) continue;
    throw new ModelError(
      `config.json has ${compressionKey}.${name} = [${ranks.join(', ')}]; expected ${depths} ranks, one for each depth, of at ` +
        `most the head's ${headDim}.`,
    );
  }
  return {
    ropeMode: rope_mode,
    keyRanks: key_ranks,
    valueRanks: value_ranks,
    centered,
    ...(cache_policies && {
      cachePolicies: cache_policies.map(({name, options}) => ({name, options})),
    }),
  };
}
