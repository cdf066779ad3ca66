import * as tf from '@tensorflow/tfjs';
import {nodesByLayer} from '../../cache/binding/graph_nodes.js';

/** One application of a layer: where its inputs come from. */
export type GraphNode = tf.layers.Layer['inboundNodes'][number];

/** A layer of a model, or of a model inside it. */
export interface PlacedLayer {
  readonly layer: tf.layers.Layer;
  /** How often it is applied when the model is. */
  readonly applications: number;
  /** Its applications in the graphs that it stands in. */
  readonly nodes: readonly GraphNode[];
}

/** The layers of a model and of the models inside it, in their order, each once; no inputs. */
export function placedLayers(model: tf.LayersModel): PlacedLayer[] {
  const placed = new Map<tf.layers.Layer, PlacedLayer>();
  place(model, 1, placed);
  return [...placed.values()];
}

function place(model: tf.LayersModel, times: number, placed: Map<tf.layers.Layer, PlacedLayer>): void {
  const nodesOf = graphOf(model);
  for (const layer of new Set(model.layers)) {
    if (isInput(layer)) continue;
    const nodes = nodesOf.get(layer) ?? [];
    // a sequence takes the layers of a model that is its first layer into its own graph, and the model itself is no node of it
    const isSequence = model instanceof tf.Sequential;
    const count = isSequence ? model.layers.filter(other => other === layer).length : nodes.length;
    const applications = times * count;
    if (layer instanceof tf.LayersModel) {
      place(layer, applications, placed);
      continue;
    }
    const before = placed.get(layer);
    placed.set(layer, {
      layer,
      applications: applications + (before?.applications ?? 0),
      nodes: [...(before?.nodes ?? []), ...nodes],
    });
  }
}

/**
 * The layers that an input of a model goes into: the first to see how many tokens there are.
 * @param input which one. Default the first.
 */
export function entryLayers(model: tf.LayersModel, input = 0): tf.layers.Layer[] {
  const first = [...graphOf(model)].flatMap(([layer, nodes]) =>
    !isInput(layer) && nodes.some(({inputTensors}) => inputTensors.includes(model.inputs[input]!))
      ? [layer]
      : [],
  );
  return first.flatMap(layer => (layer instanceof tf.LayersModel ? entryLayers(layer) : [layer]));
}

/** The applications of each layer in a model's own graph. */
const graphOf = (model: tf.LayersModel) => nodesByLayer(builtGraph(model));

/** All applications in a model's own graph, each after those that it takes its inputs from. */
export function nodesInOrder(model: tf.LayersModel): GraphNode[] {
  const {nodesByDepth} = builtGraph(model);
  const depths = Object.keys(nodesByDepth).map(Number);
  return depths.sort((a, b) => b - a).flatMap(depth => nodesByDepth[depth]!);
}

/** tfjs makes the graph of a sequence when it is built. */
function builtGraph(model: tf.LayersModel): tf.LayersModel {
  if (model instanceof tf.Sequential && !model.built && model.layers.length > 0) model.build();
  return model;
}

export const isInput = (layer: tf.layers.Layer) => layer.getClassName() === 'InputLayer';
