import * as v from 'valibot';
import {ModelError} from '../../../base/errors.js';
import {optionValue, type Spec} from '../../../base/options.js';
import type {RopeMode} from '../../../layers/index.js';

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
export function compressionFromJson(
  json: unknown,
  {depths, headDim}: {readonly depths: number; readonly headDim: number},
): ModelCompression {
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
