import * as v from 'valibot';
import {ModelError, shown} from '../../base/errors.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {count, maybe, positive, readKeys} from './config_keys.js';
import {hubRopeTypes, scalingFromHub, scalingToHub} from './hub_rope_scaling.js';

// The keys of the hub's library `transformers` (modeling_rope_utils.py, versions 4 and 5) and our RopeConfig.

/** What first versions of Phi-3 called longrope. */
const typeName = v.pipe(
  v.string(`expected one of ${hubRopeTypes.join(', ')}`),
  v.transform(name => (name === 'su' ? 'longrope' : name)),
  v.picklist(hubRopeTypes, `expected one of ${hubRopeTypes.join(', ')}`),
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
export type HubRopeKeys = v.InferOutput<v.ObjectSchema<typeof hubRopeEntries, undefined>>;

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
