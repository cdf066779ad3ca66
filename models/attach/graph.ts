import * as tf from '@tensorflow/tfjs';

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
  for (const layer of new Set(model.layers)) {
    if (isInput(layer)) continue;
    const nodes = nodesIn(model, layer);
    const applications = times * (isSequence(model) ? occurrences(model.layers, layer) : nodes.length);
    if (layer instanceof tf.LayersModel) {
      place(layer, applications, placed);
      continue;
    }
    const before = placed.get(layer);
    placed.set(layer, {
      layer,
      applications: applications + (before?.applications ?? 0),
      nodes: [...new Set([...(before?.nodes ?? []), ...nodes])],
    });
  }
}

/** The layers that a model's first input goes into: the first to see how many tokens there are. */
export function entryLayers(model: tf.LayersModel): tf.layers.Layer[] {
  const layers = model.layers.filter(layer => !isInput(layer));
  const first = isSequence(model)
    ? layers.slice(0, 1)
    : layers.filter(layer =>
        nodesIn(model, layer).some(({inputTensors}) => inputTensors.includes(model.inputs[0]!)),
      );
  return first.flatMap(layer => (layer instanceof tf.LayersModel ? entryLayers(layer) : [layer]));
}

/** A layer's applications in a model: it may stand in other graphs too. */
function nodesIn(model: tf.LayersModel, {name, inboundNodes}: tf.layers.Layer): GraphNode[] {
  if (isSequence(model)) return inboundNodes;
  return inboundNodes.filter((_, index) => model.containerNodes.has(`${name}_ib-${index}`));
}

const isInput = (layer: tf.layers.Layer) => layer.getClassName() === 'InputLayer';

/** Sequences have their graph in a model of their own. */
const isSequence = (model: tf.LayersModel) => model instanceof tf.Sequential;

const occurrences = (layers: readonly tf.layers.Layer[], layer: tf.layers.Layer) =>
  layers.filter(other => other === layer).length;
