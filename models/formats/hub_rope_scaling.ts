import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import {type RopeScaling, longropeMagnitude} from '../../ops/rotate/rope.js';
import {count, maybe, positive, readKeys} from './config_keys.js';

const divisors = v.array(positive);

/** One schema for each `rope_type`, read with the context's length at hand. */
const scalings = {
  linear: v.object({factor: positive}),
  dynamic: v.object({factor: positive, original_max_position_embeddings: maybe(count)}),
  llama3: v.object({
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: maybe(count),
  }),
  yarn: v.object({
    factor: maybe(positive),
    original_max_position_embeddings: maybe(count),
    beta_fast: maybe(positive),
    beta_slow: maybe(positive),
    attention_factor: maybe(positive),
    mscale: maybe(positive),
    mscale_all_dim: maybe(positive),
    truncate: v.nullish(
      v.literal(true, 'eigenkv rounds the ramp of yarn to whole pairs and knows no other way'),
    ),
  }),
  longrope: v.object({
    short_factor: divisors,
    long_factor: divisors,
    factor: maybe(positive),
    original_max_position_embeddings: maybe(count),
    attention_factor: maybe(positive),
  }),
};

/** The values of `rope_type`. */
export const hubRopeTypes = ['default', ...Object.keys(scalings)];

/**
 * The scaling of a rotation by an object with its keys; undefined for `default`.
 * @param context the model's context, in tokens.
 * @param where what messages call the object.
 * @throws ModelError for a key that its type needs and lacks.
 */
export function scalingFromHub(
  type: string,
  given: unknown,
  context: number,
  where: string,
): RopeScaling | undefined {
  switch (type) {
    case 'linear':
      return {type, factor: readKeys(scalings.linear, given, where).factor};
    case 'dynamic': {
      const keys = readKeys(scalings.dynamic, given, where);
      const originalMaxPositions = keys.original_max_position_embeddings ?? context;
      return {type, factor: keys.factor, maxPositions: context, originalMaxPositions};
    }
    case 'llama3': {
      const keys = readKeys(scalings.llama3, given, where);
      if (keys.low_freq_factor >= keys.high_freq_factor) {
        throw new ModelError(
          `${where} has low_freq_factor = ${keys.low_freq_factor}; it must be below high_freq_factor = ${keys.high_freq_factor}.`,
        );
      }
      return {
        type,
        factor: keys.factor,
        lowFreqFactor: keys.low_freq_factor,
        highFreqFactor: keys.high_freq_factor,
        originalMaxPositions: keys.original_max_position_embeddings ?? context,
      };
    }
    case 'yarn':
      return yarnFromHub(readKeys(scalings.yarn, given, where), context);
    case 'longrope': {
      const keys = readKeys(scalings.longrope, given, where);
      const originalMaxPositions = keys.original_max_position_embeddings ?? context;
      const {factor} = keys;
      const attentionFactor =
        keys.attention_factor ??
        (factor === undefined ? undefined : longropeMagnitude(factor, originalMaxPositions));
      if (keys.short_factor.join() === keys.long_factor.join() && attentionFactor === 1) {
        return {type: 'divisors', divisors: keys.long_factor};
      }
      return {
        type,
        shortFactor: keys.short_factor,
        longFactor: keys.long_factor,
        maxPositions: context,
        originalMaxPositions,
        ...(attentionFactor !== undefined && {attentionFactor}),
      };
    }
    default:
      return undefined;
  }
}

function yarnFromHub(keys: v.InferOutput<typeof scalings.yarn>, context: number): RopeScaling {
  const originalMaxPositions = keys.original_max_position_embeddings ?? context;
  const factor = keys.factor ?? context / originalMaxPositions;
  const grown = (weight: number) => (factor > 1 ? 0.1 * weight * Math.log(factor) + 1 : 1);
  const {mscale, mscale_all_dim: mscaleAllDim} = keys;
  const attentionFactor =
    keys.attention_factor ??
    (mscale !== undefined && mscaleAllDim !== undefined ? grown(mscale) / grown(mscaleAllDim) : undefined);
  return {
    type: 'yarn',
    factor,
    originalMaxPositions,
    ...(keys.beta_fast !== undefined && {betaFast: keys.beta_fast}),
    ...(keys.beta_slow !== undefined && {betaSlow: keys.beta_slow}),
    ...(attentionFactor !== undefined && {attentionFactor}),
  };
}

/** The keys that `scalingFromHub` reads. */
export function scalingToHub(scaling: RopeScaling): Record<string, unknown> {
  switch (scaling.type) {
    case 'linear':
      return {rope_type: 'linear', factor: scaling.factor};
    case 'dynamic':
      return {
        rope_type: 'dynamic',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalMaxPositions,
      };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalMaxPositions,
        ...(scaling.betaFast !== undefined && {beta_fast: scaling.betaFast}),
        ...(scaling.betaSlow !== undefined && {beta_slow: scaling.betaSlow}),
        ...(scaling.attentionFactor !== undefined && {attention_factor: scaling.attentionFactor}),
      };
    case 'longrope':
      return {
        rope_type: 'longrope',
        short_factor: scaling.shortFactor,
        long_factor: scaling.longFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
        ...(scaling.attentionFactor !== undefined && {attention_factor: scaling.attentionFactor}),
      };
    case 'divisors':
      // the hub's one type with a divisor for each pair; both lists alike, so that the length of a text does not matter
      return {
        rope_type: 'longrope',
        short_factor: scaling.divisors,
        long_factor: scaling.divisors,
        attention_factor: 1,
      };
  }
}
