import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {type KerasVersion, type PaddingSource, kerasMask} from './keras_mask.js';
import {paddingMask} from './padding_mask.js';

/** What an input of a Keras attention layer is, by the names of Keras' call arguments. */
export const roles = ['query', 'value', 'key', 'queryMask', 'valueMask', 'keyMask', 'attentionMask'] as const;
export type AttentionRole = (typeof roles)[number];

/** How a layer is called. Saved with the model as keyword arguments of the call. */
export interface AttentionCall {
  /** What each input is: one that is query and value has both. A tensor is one input only, since tfjs frees it too early otherwise. */
  readonly takes: readonly (readonly AttentionRole[])[];
  /** Whether queries see keys up to their own place only. */
  readonly useCausalMask: boolean;
}

/** A call within a graph, with its padding masks among its inputs. */
export interface GraphCall {
  readonly call: AttentionCall;
  readonly inputs: readonly tf.SymbolicTensor[];
  /** Whether a mask may come from a model around this one, which no graph shows. */
  readonly masksOutside: boolean;
}

/** Without `takes`, by the number of inputs. */
const usual: readonly (readonly (readonly AttentionRole[])[])[] = [
  [['query', 'value', 'key']],
  [['query'], ['value', 'key']],
  [['query'], ['value'], ['key']],
  [['query'], ['value'], ['key'], ['attentionMask']],
];

/**
 * Reads the keyword arguments of a call: those of Keras in camel case, and `takes`: a role, or several, for each input. Without it inputs
 * are query, value, key and attentionMask. Where nothing is the value, the query is; where nothing is the key, the value is.
 *
 * @throws InvalidArgumentError for what these layers do not do, and for arguments that contradict the inputs.
 */
export function readCall(
  inputs: number,
  kwargs: Readonly<Record<string, unknown>>,
  layer: string,
): AttentionCall {
  const fail = (why: string): never => {
    throw new InvalidArgumentError(`Layer "${layer}": ${why}`);
  };
  const {takes: given = usual[inputs - 1], useCausalMask = false} = kwargs;
  if (given === undefined) return fail(`it got ${inputs} inputs; say what they are with takes.`);
  const takes = rolesOf(given);
  if (takes === undefined) {
    return fail(
      `takes = ${shown(given)}; expected for each input ${roles.join(', ')}, or a list of these, each once; the first is the query.`,
    );
  }
  if (takes.length !== inputs) return fail(`it got ${inputs} inputs; its call takes ${shown(takes)}.`);
  if (typeof useCausalMask !== 'boolean') {
    return fail(`useCausalMask = ${shown(useCausalMask)}; expected true or false.`);
  }
  if (kwargs['returnAttentionScores'] === true) {
    return fail('returnAttentionScores: attention here never has all its scores at once; leave it out.');
  }
  return {takes, useCausalMask};
}

/** Undefined if these are no roles. */
function rolesOf(given: unknown): AttentionRole[][] | undefined {
  if (!Array.isArray(given)) return undefined;
  const takes = given.map((ofInput: unknown) => [ofInput].flat());
  const isRole = (role: unknown): role is AttentionRole => roles.some(known => known === role);
  if (!takes.every((ofInput): ofInput is AttentionRole[] => ofInput.length > 0 && ofInput.every(isRole)))
    return undefined;
  const all = takes.flat();
  if (takes[0]?.includes('query') !== true || new Set(all).size < all.length) return undefined;
  for (const [role, otherwise] of [
    ['value', 'query'],
    ['key', 'value'],
  ] as const) {
    if (!all.includes(role)) takes.find(ofInput => ofInput.includes(otherwise))!.push(role);
  }
  return takes;
}

/**
 * Resolves what a call in a graph names and implies: tensors that Keras 2 saved as keyword arguments, inputs that are the same tensor,
 * and padding masks, which become inputs.
 *
 * @throws ModelError if a keyword argument names another layer's output, which only `loadKerasModel` can find.
 */
export function resolveCall(
  given: readonly tf.SymbolicTensor[],
  kwargs: Readonly<Record<string, unknown>>,
  layer: tf.layers.Layer,
): GraphCall {
  const [query] = given;
  const named = roles.filter(role => Array.isArray(kwargs[role]));
  const foreign = named.find(role => query === undefined || !isReferenceTo(query, kwargs[role]));
  if (foreign !== undefined) {
    throw new ModelError(
      `Layer "${layer.name}" (${layer.getClassName()}) takes the output of another layer as its ${foreign}: ${shown(kwargs[foreign])}. ` +
        'tf.loadLayersModel does not say which tensor that is; load the model with loadKerasModel.',
    );
  }
  if (kwargs['training'] === true) {
    throw new ModelError(
      `Layer "${layer.name}" is called with training=True, in inference too, which it does not do here. Call it without.`,
    );
  }
  const {takes, useCausalMask} = readCall(given.length, kwargs, layer.name);
  const tensors = new Map(takes.flatMap((ofInput, i) => ofInput.map(role => [role, given[i]!] as const)));
  const isWired = kwargs['takes'] !== undefined && kwargs['keras'] === undefined; // saved by tfjs
  const masksOutside = !isWired && addPaddingMasks(tensors, kwargs['keras'] === 3 ? 3 : 2);
  const byTensor = new Map<tf.SymbolicTensor, AttentionRole[]>();
  for (const role of roles) {
    const tensor = tensors.get(role);
    if (tensor !== undefined) byTensor.set(tensor, [...(byTensor.get(tensor) ?? []), role]);
  }
  return {call: {takes: [...byTensor.values()], useCausalMask}, inputs: [...byTensor.keys()], masksOutside};
}

/** Whether `[layer name, node, output]`, as Keras 2 saves a tensor, is this tensor. tfjs has put the name in camel case. */
function isReferenceTo(
  {sourceLayer, nodeIndex, tensorIndex}: tf.SymbolicTensor,
  reference: unknown,
): boolean {
  const camelCase = sourceLayer.name.replace(/_+(\w|$)/g, (_, first: string) => first.toUpperCase());
  const [name, ...indices] = reference as unknown[];
  return (
    (name === sourceLayer.name || name === camelCase) &&
    indices.slice(0, 2).join() === `${nodeIndex},${tensorIndex}`
  );
}

/** @returns whether a mask may come from a model around this one. */
function addPaddingMasks(tensors: Map<AttentionRole, tf.SymbolicTensor>, keras: KerasVersion): boolean {
  const inputs = (['query', 'value', 'key'] as const).map(role => tensors.get(role)!);
  const sources = inputs.map(tensor => kerasMask(tensor, inputs, keras));
  (['queryMask', 'valueMask', 'keyMask'] as const).forEach((role, i) => {
    const source = sources[i];
    if (source !== undefined && source !== 'outside' && !tensors.has(role))
      tensors.set(role, maskFrom(source));
  });
  return sources.includes('outside');
}

/** One layer per source, however many attention layers take its mask. */
const masks = new WeakMap<tf.layers.Layer, WeakMap<tf.SymbolicTensor, tf.SymbolicTensor>>();

function maskFrom({layer, from}: PaddingSource): tf.SymbolicTensor {
  const ofLayer = masks.get(layer) ?? new WeakMap<tf.SymbolicTensor, tf.SymbolicTensor>();
  masks.set(layer, ofLayer);
  const known = ofLayer.get(from);
  if (known !== undefined) return known;
  const {maskValue} = layer.getConfig(); // of Masking; embeddings mask the id 0
  const made = paddingMask({
    name: `${layer.name}_mask`,
    maskValue: typeof maskValue === 'number' ? maskValue : 0,
  }).apply(from) as tf.SymbolicTensor;
  ofLayer.set(from, made);
  return made;
}
