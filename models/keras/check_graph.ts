import {ModelError} from '../../base/errors.js';
import {type TensorReference, nameOf, referencesOf} from './call_nodes.js';
import {type Json, type JsonObject, isArray} from './json.js';
import {isModelClass, layerName, layersOf} from './topology.js';

/**
 * Follows a graph as tfjs builds it, which waits for ever for a tensor that nothing makes.
 *
 * @param model a config as `asTfjsModel` makes it.
 * @throws ModelError if two layers have one name, or if a layer takes a tensor that no other makes before it.
 */
export function checkGraph(model: JsonObject): void {
  const layers = layersOf(model);
  layers.filter(isModelClass).forEach(checkGraph);
  const applications = new Map<string, number>();
  for (const layer of layers) {
    const name = layerName(layer);
    if (name === '' || applications.has(name)) {
      throw new ModelError(
        `The model ${nameOf(model)} has ${name === '' ? 'a layer without a name' : `two layers of the name "${name}"`}; export it again.`,
      );
    }
    // inputs, and the own graphs of models inside, are there from the start
    applications.set(name, layer['class_name'] === 'InputLayer' || isModelClass(layer) ? 1 : 0);
  }
  if (model['class_name'] === 'Sequential') return;
  const isMade = ([name, node]: TensorReference) => node >= 0 && node < (applications.get(name) ?? 0);
  let waiting = layers.flatMap(layer => nodesOf(layer).map(inputs => ({layer, inputs})));
  while (waiting.length > 0) {
    const before = waiting.length;
    waiting = waiting.filter(({layer, inputs}) => {
      if (!inputs.every(isMade)) return true;
      const name = layerName(layer);
      applications.set(name, applications.get(name)! + 1);
      return false;
    });
    if (waiting.length < before) continue;
    const {layer, inputs} = waiting[0]!;
    const missing = inputs.find(input => !isMade(input))!;
    throw new ModelError(
      `Layer ${nameOf(layer)} takes the output of application ${missing[1]} of "${missing[0]}", which no layer of the model makes before it. Export ` +
        'the model again.',
    );
  }
}

/** What each application of a layer takes. */
function nodesOf(layer: JsonObject): TensorReference[][] {
  const nodes: Json = layer['inbound_nodes'] ?? [];
  return isArray(nodes) ? nodes.map(node => referencesOf(node, layer)) : [];
}
