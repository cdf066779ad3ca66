import * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../base/errors.js';
import {EigenAttention, type EigenAttentionArgs, eigenAttention} from '../../layers/index.js';
import {SelfAttention} from '../../layers/self_attention.js';
import {isInput, nodesInOrder} from '../adapters/graph.js';
import type {EigenWeights} from './merge_weights.js';

/** A compressed layer that takes the place of another one. */
export interface Replacement {
  readonly args: EigenAttentionArgs;
  readonly weights: EigenWeights;
}

/**
 * A copy of a model, including the models inside it, with some layers replaced. All other layers are made again from their
 * configs; their weights share memory with the given model until either is trained, and both may be disposed of.
 *
 * @param replacements by the layer that is replaced.
 */
export function copyModel(
  model: tf.LayersModel,
  replacements: ReadonlyMap<tf.layers.Layer, Replacement>,
): tf.LayersModel {
  const copies = new Map<tf.layers.Layer, tf.layers.Layer>();
  const copy = (layer: tf.layers.Layer) => {
    const known = copies.get(layer);
    if (known !== undefined) return known;
    const replacement = replacements.get(layer);
    const made =
      layer instanceof tf.LayersModel
        ? copyGraph(layer, copy)
        : replacement === undefined
          ? fromConfig(layer)
          : eigenAttention({...replacement.args, kernelInitializer: 'zeros', name: layer.name});
    copies.set(layer, made);
    return made;
  };
  const copied = copyGraph(model, copy);
  for (const [layer, made] of copies) {
    const replacement = replacements.get(layer);
    if (replacement !== undefined) writeWeights(made, replacement.weights);
    else if (!(layer instanceof tf.LayersModel)) made.setWeights(layer.getWeights());
  }
  return copied;
}

/** Applies copies of a model's layers as the model applies the layers. */
function copyGraph(model: tf.LayersModel, copy: (layer: tf.layers.Layer) => tf.layers.Layer): tf.LayersModel {
  const tensors = new Map<tf.SymbolicTensor, tf.SymbolicTensor>();
  for (const input of model.inputs) {
    const {shape, dtype, sourceLayer} = input;
    tensors.set(input, tf.input({batchShape: shape, dtype, name: sourceLayer.name}));
  }
  const copyOf = (tensor: tf.SymbolicTensor) => {
    const found = tensors.get(tensor);
    if (found !== undefined) return found;
    throw new EigenkvError(`Nothing computes the tensor "${tensor.name}" of the model "${model.name}".`);
  };
  for (const {outboundLayer, inputTensors, outputTensors, callArgs} of nodesInOrder(model)) {
    if (isInput(outboundLayer)) continue;
    const layer = copy(outboundLayer);
    const inputs = inputsOf(outboundLayer, layer, inputTensors).map(copyOf);
    const outputs = [layer.apply(inputs.length === 1 ? inputs[0]! : inputs, callArgs)].flat();
    outputs.forEach((output, index) => tensors.set(outputTensors[index]!, output as tf.SymbolicTensor));
  }
  return tf.model({
    inputs: model.inputs.map(copyOf),
    outputs: model.outputs.map(copyOf),
    name: model.name,
  });
}

/** Attention of other packages may get its input as query, key and value; that of eigenkv gets a residual as its second input. */
function inputsOf(
  layer: tf.layers.Layer,
  copy: tf.layers.Layer,
  inputs: readonly tf.SymbolicTensor[],
): readonly tf.SymbolicTensor[] {
  return copy instanceof EigenAttention && !(layer instanceof SelfAttention) ? inputs.slice(0, 1) : inputs;
}

/** A layer of the same class and config, whose weights are about to be set. */
function fromConfig(layer: tf.layers.Layer): tf.layers.Layer {
  const made = classOf(layer).fromConfig(classOf(layer), layer.getConfig());
  made.setFastWeightInitDuringBuild(true);
  return made;
}

const classOf = (layer: tf.layers.Layer) =>
  layer.constructor as tf.serialization.SerializableConstructor<tf.layers.Layer>;

function writeWeights(layer: tf.layers.Layer, weights: EigenWeights): void {
  for (const variable of layer.weights) {
    const name = variable.originalName.slice(variable.originalName.lastIndexOf('/') + 1);
    const numbers = weights[name];
    if (numbers === undefined) throw new EigenkvError(`There are no numbers for "${variable.originalName}".`);
    tf.tidy(() => void variable.write(tf.tensor(numbers, variable.shape as number[])));
  }
}
