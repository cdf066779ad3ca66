import * as v from 'valibot';
import {ModelError, shown} from '../../base/errors.js';
import {type RopeConfig, type RopeScaling, longropeMagnitude} from '../../ops/rotate/rope.js';
import {isRecord} from '../../base/records.js';
import type {AttentionConfig} from '../architectures/parts/attention.js';
import {count, maybe, positive, readKeys} from './config_keys.js';

// The keys of the hub's library `transformers` (modeling_rope_utils.py, versions 4 and 5) and our RopeConfig.

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

const names = ['default', ...Object.keys(scalings)];
/** What first versions of Phi-3 called longrope. */
const typeName = v.pipe(
  v.string(`expected one of ${names.join(', ')}`),
  v.transform(name => (name === 'su' ? 'longrope' : name)),
  v.picklist(names, `expected one of ${names.join(', ')}`),
);
const typeSchema = v.object({type: maybe(typeName), rope_type: maybe(typeName)});

/** A share of each head; architectures whose models rotate whole heads refuse others: see `ropeFromHub`. */
const shareOfHead = maybe(v.pipe(positive, v.maxValue(1, 'expected a share of each head, at most 1')));
const scalingObject = maybe(v.looseObject({}, 'expected an object or null'));

export const hubRopeEntries = {
  max_position_embeddings: count,
  original_max_position_embeddings: maybe(count),
  rope_theta: maybe(positive),
  rope_scaling: scalingObject,
  rope_parameters: scalingObject,
  partial_rotary_factor: shareOfHead,
};
type HubRopeKeys = v.InferOutput<v.ObjectSchema<typeof hubRopeEntries, undefined>>;

/** Keys that are allowed beside a scaling's own keys, or at the top level of config.json. */
const besideSchema = v.object({rope_theta: maybe(positive), partial_rotary_factor: shareOfHead});

export interface HubRopeOptions {
  /** The base of frequencies if the file names none. Default 10000. */
  readonly theta?: number | undefined;
  /** Numbers per head, of models that rotate a part of each. Default: whole heads are rotated. */
  readonly headDim?: number;
  /** The share of each head that rotates if the file names none. Default 1. */
  readonly share?: number;
}

/**
 * Rotary positions from a hub config: `rope_theta` with `rope_scaling`, or both in `rope_parameters`, as newer files have
 * them. Of both objects `rope_scaling` counts, and of an original context beside and inside them the one beside, as in
 * `transformers` 5.
 * @throws ModelError for an unknown type, a key that its type needs and lacks, a part of heads that rotates where whole ones must, or
 *   rotations that differ by layer.
 */
export function ropeFromHub(keys: HubRopeKeys, options: HubRopeOptions = {}): RopeConfig {
  const {max_position_embeddings: context, original_max_position_embeddings: original} = keys;
  const isOlder = keys.rope_scaling !== undefined && Object.keys(keys.rope_scaling).length > 0;
  const where = isOlder ? 'rope_scaling of config.json' : 'rope_parameters of config.json';
  const inside = (isOlder ? keys.rope_scaling : keys.rope_parameters) ?? {};
  checkOneForAllLayers(inside, where);
  const beside = readKeys(besideSchema, inside, where);
  const theta = beside.rope_theta ?? keys.rope_theta ?? options.theta ?? 10000;
  const rotaryDim = rotaryDimOf(beside.partial_rotary_factor ?? keys.partial_rotary_factor, options);
  const {type, rope_type: newerType} = readKeys(typeSchema, inside, where);
  if (type !== undefined && newerType !== undefined && type !== newerType) {
    throw new ModelError(`${where} has rope_type = "${newerType}" and type = "${type}"; they must agree.`);
  }
  const kind = newerType ?? type ?? 'default';
  if (newerType === undefined && type === undefined && 'factor' in inside && inside['factor'] !== 1) {
    throw new ModelError(
      `${where} has factor = ${shown(inside['factor'])} and no rope_type that says what it does; add the model's own.`,
    );
  }
  const takesOriginal = kind === 'llama3' || kind === 'yarn' || kind === 'longrope';
  const given =
    takesOriginal && original !== undefined
      ? {...inside, original_max_position_embeddings: original}
      : inside;
  const scaling = scalingFromHub(kind, given, context, where);
  return {theta, ...(rotaryDim !== undefined && {rotaryDim}), ...(scaling && {scaling})};
}

/** Rotations of layers without a window and of those with one. */
interface HubRopes {
  readonly rope: RopeConfig;
  readonly windowRope: RopeConfig;
}

/**
 * Rotary positions of models that rotate layers with a window otherwise: `rope_parameters` has an object for each kind of layer. In older
 * files only the base of layers with a window is another one (`rope_local_base_freq`), and only the others are stretched.
 * @param options `windowTheta`: the base at layers with a window if the file names none. Default: that of the others.
 * @throws ModelError see `ropeFromHub`.
 */
export function ropesFromHub(
  keys: HubRopeKeys & {readonly rope_local_base_freq?: number | undefined},
  {theta, windowTheta}: {readonly theta?: number; readonly windowTheta?: number} = {},
): HubRopes {
  const {full_attention: full, sliding_attention: sliding} = keys.rope_parameters ?? {};
  if (!isRecord(full) && !isRecord(sliding)) {
    const rope = ropeFromHub(keys, {theta});
    return {rope, windowRope: {theta: keys.rope_local_base_freq ?? windowTheta ?? rope.theta}};
  }
  const of = (parameters: unknown, otherwise: number | undefined) =>
    ropeFromHub(
      {...keys, rope_scaling: undefined, rope_parameters: isRecord(parameters) ? parameters : {}},
      {theta: otherwise},
    );
  return {rope: of(full, theta), windowRope: of(sliding, windowTheta)};
}

/** The keys that `ropesFromHub` reads. */
export function ropesToHub({
  rope = {},
  window,
  windowRope = rope,
}: Pick<AttentionConfig, 'rope' | 'window' | 'windowRope'>): Record<string, unknown> {
  if (window === undefined) return ropeToHub(rope);
  const parameters = ({theta = 10000, scaling}: RopeConfig) => ({
    rope_type: 'default',
    ...(scaling && scalingToHub(scaling)),
    rope_theta: theta,
  });
  return {rope_parameters: {full_attention: parameters(rope), sliding_attention: parameters(windowRope)}};
}

/** The channels of a head that rotate; undefined if all do. */
function rotaryDimOf(given: number | undefined, {headDim, share = 1}: HubRopeOptions): number | undefined {
  const part = given ?? share;
  if (part === 1) return undefined;
  if (headDim !== undefined) return Math.trunc(headDim * part);
  throw new ModelError(
    `config.json has partial_rotary_factor = ${part}; models of this architecture rotate whole heads.`,
  );
}

/** Files of models with windows have an object for each kind of layer, which would read as one that says nothing. */
function checkOneForAllLayers(given: Readonly<Record<string, unknown>>, where: string): void {
  const layers = Object.keys(given).find(key => typeof given[key] === 'object' && isLayerType(key));
  if (layers === undefined) return;
  throw new ModelError(
    `${where} has a rotation of its own for layers of the type "${layers}"; eigenkv rotates all layers alike.`,
  );
}

const isLayerType = (key: string) => key.endsWith('_attention');

function scalingFromHub(
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

/**
 * The keys that `ropeFromHub` reads as this config.
 * @param headDim numbers per head, of models that rotate a part of each.
 */
export function ropeToHub(
  {theta = 10000, rotaryDim, scaling}: RopeConfig,
  headDim?: number,
): Record<string, unknown> {
  return {
    rope_theta: theta,
    rope_scaling: scaling === undefined ? null : scalingToHub(scaling),
    ...(scaling?.type === 'longrope' && {original_max_position_embeddings: scaling.originalMaxPositions}),
    ...(headDim !== undefined && {partial_rotary_factor: shareOf(rotaryDim ?? headDim, headDim)}),
  };
}

/** A share that gives so many channels when it is read, whatever floating point makes of the quotient. */
function shareOf(rotaryDim: number, headDim: number): number {
  const share = rotaryDim / headDim;
  return Math.trunc(headDim * share) === rotaryDim ? share : (rotaryDim + 0.5) / headDim;
}

function scalingToHub(scaling: RopeScaling): Record<string, unknown> {
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
