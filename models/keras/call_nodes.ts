import {ModelError, shown} from '../../base/errors.js';
import {type Json, type JsonObject, isArray, isObject, textOf} from './json.js';

/** `[layer, application, output]`: where a tensor of a graph comes from. */
export type TensorReference = readonly [string, number, number];

/** One application of a layer, whichever Keras wrote it: what is given by position and by name; tensors are references. */
export interface CallNode {
  readonly positional: readonly Argument[];
  readonly named: ReadonlyMap<string, Argument>;
}

/** A tensor of the graph, or a constant. */
export type Argument = {readonly tensor: TensorReference} | {readonly constant: Json};

export const isTensor = (argument: Argument): argument is {readonly tensor: TensorReference} =>
  'tensor' in argument;

/** The applications of a layer; `[]` of an input. */
export function readNodes(layer: JsonObject): CallNode[] {
  const nodes = layer['inbound_nodes'] ?? [];
  if (!isArray(nodes)) throw damaged(layer);
  return nodes.map(node => {
    if (isObject(node)) return readNode3(node, layer);
    if (isArray(node)) return readNode2(node, layer);
    throw damaged(layer);
  });
}

/** Keras 3: `{args: [...], kwargs: {...}}` with tensors as objects, in lists if the layer takes a list. */
function readNode3({args = [], kwargs = {}}: JsonObject, layer: JsonObject): CallNode {
  if (!isArray(args) || !isObject(kwargs)) throw damaged(layer);
  const read = (value: Json): Argument[] => {
    if (isArray(value) && containsTensor(value)) return value.flatMap(read);
    const config = isObject(value) && isObject(value['config']) ? value['config'] : {};
    if (isObject(value) && value['class_name'] === '__tensor__')
      return [{constant: config['value'] ?? value}];
    if (!isObject(value) || value['class_name'] !== '__keras_tensor__') return [{constant: value}];
    return [{tensor: referenceOf(config['keras_history'], layer)}];
  };
  const named = Object.entries(kwargs).map(([name, value]): [string, Argument] => {
    const [first, ...others] = read(value);
    if (first !== undefined && others.length === 0) return [name, first];
    throw new ModelError(
      `Layer ${nameOf(layer)} is given several tensors as ${name}, which tfjs cannot hand over.`,
    );
  });
  return {positional: args.flatMap(read), named: new Map(named)};
}

const containsTensor = (value: Json): boolean =>
  isArray(value) ? value.some(containsTensor) : isObject(value) && value['class_name'] === '__keras_tensor__';

/** Keras 2: `[[layer, application, output, {name: value}], ...]`; operators are one such list, with constants as its third. */
function readNode2(node: readonly Json[], layer: JsonObject): CallNode {
  const inputs = isArray(node[0]) ? node : [node];
  const named = new Map<string, Argument>();
  const positional = inputs.map((input): Argument => {
    if (!isArray(input)) throw damaged(layer);
    const [source, , third, kwargs = {}] = input;
    if (!isObject(kwargs)) throw damaged(layer);
    for (const [name, value] of Object.entries(kwargs)) {
      named.set(name, isReference(value) ? {tensor: value} : {constant: value});
    }
    return source === '_CONSTANT_VALUE' ? {constant: third ?? null} : {tensor: referenceOf(input, layer)};
  });
  return {positional, named};
}

function referenceOf(value: Json | undefined, layer: JsonObject): TensorReference {
  const reference = isArray(value) ? value.slice(0, 3) : undefined;
  if (isReference(reference)) return reference;
  throw damaged(layer);
}

/** The references in a model's lists of inputs and outputs, which may be one reference. */
export function referencesOf(list: Json | undefined, layer: JsonObject): TensorReference[] {
  if (isReference(list)) return [list];
  if (!isArray(list)) throw damaged(layer);
  return list.map(reference => referenceOf(reference, layer));
}

function isReference(value: Json | undefined): value is TensorReference {
  if (!isArray(value) || value.length !== 3) return false;
  const [name, ...indices] = value;
  return typeof name === 'string' && indices.every(index => typeof index === 'number');
}

/** A layer's name and class in messages. */
export function nameOf(layer: JsonObject): string {
  const config = isObject(layer['config']) ? layer['config'] : {};
  return `"${textOf(layer, 'name') ?? textOf(config, 'name') ?? '?'}" (${textOf(layer, 'class_name') ?? 'without class'})`;
}

const damaged = (layer: JsonObject) =>
  new ModelError(
    `Layer ${nameOf(layer)} says of its inputs: ${shown(layer['inbound_nodes'] ?? layer)}; neither Keras 2 nor Keras 3 writes this. Export ` +
      'the model again with the converter of tensorflowjs.',
  );
