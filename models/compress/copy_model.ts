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

/** A layer of a copied model, and what sets its weights once it is built. */
interface Copy {
  readonly layer: tf.layers.Layer;
  /** Absent if that was done. */
  readonly fill?: () => void;
}

type CopyOf = (layer: tf.layers.Layer) => Promise<Copy>;

/**
 * A copy of a model, including the models inside it, with some layers replaced. All other layers are made again from their
 * configs; their weights, packed ones too, share memory with the given model until either is trained, and both may be disposed of.
 * One replaced layer after the other is asked for, so that the numbers of one are in memory beside those of the models.
 *
 * @param replacements by the layer that is replaced.
 */
export async function copyModel(
  model: tf.LayersModel,
  replacements: ReadonlyMap<tf.layers.Layer, () => Promise<Replacement>>,
): Promise<tf.LayersModel> {
  const copies = new Map<tf.layers.Layer, tf.layers.Layer>();
  const copyOf: CopyOf = async original => {
    const known = copies.get(original);
    if (known !== undefined) return {layer: known};
    const copy = await copied(original, replacements.get(original), copyOf);
    copies.set(original, copy.layer);
    return copy;
  };
  try {
    return await copyGraph(model, copyOf);
  } catch (error) {
    for (const {weights} of copies.values()) for (const weight of weights) weight.dispose();
    throw error;
  }
}

async function copied(
  original: tf.layers.Layer,
  replacement: (() => Promise<Replacement>) | undefined,
  copyOf: CopyOf,
): Promise<Copy> {
  if (original instanceof tf.LayersModel) return {layer: await copyGraph(original, copyOf)};
  if (replacement === undefined) {
    const layer = fromConfig(original);
    return {layer, fill: () => layer.setWeights(original.getWeights())};
  }
  const {args, weights} = await replacement();
  const layer = eigenAttention({...args, kernelInitializer: 'zeros', name: original.name});
  return {layer, fill: () => writeWeights(layer, weights)};
}

/** Applies copies of a model's layers as the model applies the layers. */
async function copyGraph(model: tf.LayersModel, copyOf: CopyOf): Promise<tf.LayersModel> {
  const tensors = new Map<tf.SymbolicTensor, tf.SymbolicTensor>();
  for (const input of model.inputs) {
    const {shape, dtype, sourceLayer} = input;
    tensors.set(input, tf.input({batchShape: shape, dtype, name: sourceLayer.name}));
  }
  const tensorOf = (tensor: tf.SymbolicTensor) => {
    const found = tensors.get(tensor);
    if (found !== undefined) return found;
    throw new EigenkvError(`Nothing computes the tensor "${tensor.name}" of the model "${model.name}".`);
  };
  for (const {outboundLayer, inputTensors, outputTensors, callArgs} of nodesInOrder(model)) {
    if (isInput(outboundLayer)) continue;
    const {layer, fill} = await copyOf(outboundLayer);
    const inputs = inputsOf(outboundLayer, layer, inputTensors).map(tensorOf);
    const outputs = [layer.apply(inputs.length === 1 ? inputs[0]! : inputs, callArgs)].flat();
    fill?.(); // one layer at a time holds zeros beside the weights that it is about to share
    outputs.forEach((output, index) => tensors.set(outputTensors[index]!, output as tf.SymbolicTensor));
  }
  return tf.model({
    inputs: model.inputs.map(tensorOf),
    outputs: model.outputs.map(tensorOf),
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
