import {attentionClasses} from '../../layers/keras/keras_mask.js';
import {roles} from '../../layers/keras/call_roles.js';
import {ModelError, shown} from '../../base/errors.js';
import {
  type Argument,
  type CallNode,
  type TensorReference,
  isTensor,
  nameOf,
  readNodes,
  referencesOf,
} from './call_nodes.js';
import {asTfjsConfig} from './config.js';
import {type Json, type JsonObject, isArray, isObject, textOf} from './json.js';
import {operatorOf} from './operators.js';

export interface TopologyOptions {
  /** The version of Keras that wrote the model. */
  readonly keras: 2 | 3;
  /** False: embeddings make no masks. */
  readonly maskZero: boolean;
}

const modelClasses = ['Functional', 'Model', 'Sequential'];
export const isModelClass = (layer: JsonObject) => modelClasses.includes(textOf(layer, 'class_name') ?? '');

/** The layers of a model's config. */
export function layersOf(model: JsonObject): JsonObject[] {
  const layers = isObject(model['config']) ? model['config']['layers'] : undefined;
  if (isArray(layers) && layers.every(isObject)) return [...layers];
  throw new ModelError(
    `The model ${nameOf(model)} has no list of layers, so it is a class of its own and no graph of layers: ${shown(model['config'] ?? null)}. ` +
      'Export a functional or sequential model.',
  );
}

/** The name of a layer, which Keras writes in its config or beside it. */
export function layerName(layer: JsonObject): string {
  const config = isObject(layer['config']) ? layer['config'] : {};
  return textOf(layer, 'name') ?? textOf(config, 'name') ?? '';
}

/** A model's config, and those of models inside it, as tfjs reads them. */
export function asTfjsModel(model: JsonObject, options: TopologyOptions): JsonObject {
  const layers = layersOf(model);
  const config = model['config'] as JsonObject;
  // in Keras 3 the first application of a model inside has the number 0; for tfjs that is the model's own graph
  const inner = new Set(options.keras === 3 ? layers.filter(isModelClass).map(layerName) : []);
  const inGraph = ([name, node, output]: TensorReference): Json =>
    inner.has(name) ? [name, node + 1, output] : [name, node, output];
  const made = {
    name: config['name'] ?? 'model',
    layers: layers.map(layer => asTfjsLayer(layer, inGraph, options)),
  };
  if (textOf(model, 'class_name') === 'Sequential') return {class_name: 'Sequential', config: made};
  const references = (key: string) => referencesOf(config[key], model).map(inGraph);
  return {
    class_name: 'Functional',
    config: {...made, input_layers: references('input_layers'), output_layers: references('output_layers')},
  };
}

function asTfjsLayer(
  layer: JsonObject,
  inGraph: (reference: TensorReference) => Json,
  options: TopologyOptions,
): JsonObject {
  const nodes = readNodes(layer);
  const className = textOf(layer, 'class_name');
  const named = {
    name: layerName(layer),
    inbound_nodes: nodes.map(node => inboundNode(layer, node, inGraph, options)),
  };
  const operator = operatorOf(layer, nodes);
  if (operator !== undefined) return {...operator, ...named};
  if (isModelClass(layer)) return {...asTfjsModel(layer, options), ...named};
  const config = {
    ...asTfjsConfig(isObject(layer['config']) ? layer['config'] : {}),
    name: layerName(layer),
  };
  if ('rms_scaling' in config && config['rms_scaling'] === true) {
    throw new ModelError(
      `Layer ${nameOf(layer)} normalises by the root mean square (rms_scaling), which the LayerNormalization of tfjs does not; use RMSNormalization.`,
    );
  }
  const isUnmasked = className === 'Embedding' && !options.maskZero;
  return {class_name: className ?? '', config: isUnmasked ? {...config, mask_zero: false} : config, ...named};
}

/** `[[layer, application, output, kwargs], ...]`, the same keyword arguments at each input. */
function inboundNode(
  layer: JsonObject,
  node: CallNode,
  inGraph: (reference: TensorReference) => Json,
  options: TopologyOptions,
): Json {
  const isWired = node.named.has('takes'); // tfjs saved it
  const isAttention = !isWired && attentionClasses.includes(textOf(layer, 'class_name') ?? '');
  const {tensors, kwargs} = isAttention ? attentionCall(layer, node, options) : plainCall(node);
  if (tensors.length === 0) {
    throw new ModelError(
      `Layer ${nameOf(layer)} is called without a tensor of the graph, which tfjs cannot do.`,
    );
  }
  if (kwargs['training'] === true) {
    throw new ModelError(
      `Layer ${nameOf(layer)} is called with training=True, in inference too, which tfjs does not do. Call it without.`,
    );
  }
  return tensors.map(tensor => [...(inGraph(tensor) as readonly Json[]), kwargs]);
}

interface PlainCall {
  readonly tensors: readonly TensorReference[];
  readonly kwargs: JsonObject;
}

function plainCall({positional, named}: CallNode): PlainCall {
  return {
    tensors: [...positional, ...named.values()].flatMap(argument =>
      isTensor(argument) ? [argument.tensor] : [],
    ),
    kwargs: constantsOf(named),
  };
}

/** What is set. */
function constantsOf(named: ReadonlyMap<string, Argument>): JsonObject {
  const set = [...named].flatMap(([name, argument]): [string, Json][] =>
    isTensor(argument) || argument.constant === null || argument.constant === false
      ? []
      : [[name, argument.constant]],
  );
  return Object.fromEntries(set);
}

/** The arguments of Keras' attention layers, in their order in Keras 3. Keras 2 writes names. */
const attentionArguments = [
  ...['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask'],
  ...['return_attention_scores', 'training', 'use_causal_mask'],
];
const snakeCase = (role: string) => role.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);

function attentionCall(
  layer: JsonObject,
  {positional, named}: CallNode,
  {keras}: TopologyOptions,
): PlainCall {
  const given = new Map([
    ...positional.map((argument, i) => [attentionArguments[i] ?? `argument ${i}`, argument] as const),
    ...named,
  ]);
  const takes: string[] = [];
  const tensors: TensorReference[] = [];
  for (const name of roles.map(snakeCase)) {
    const argument = given.get(name);
    if (argument === undefined || !isTensor(argument)) continue;
    takes.push(name);
    tensors.push(argument.tensor);
  }
  const stray = [...given].find(([name, argument]) => isTensor(argument) && !takes.includes(name));
  if (stray !== undefined) {
    throw new ModelError(`Layer ${nameOf(layer)} is given a tensor as ${stray[0]}, which is not known here.`);
  }
  return {tensors, kwargs: {...constantsOf(given), takes, keras}};
}
