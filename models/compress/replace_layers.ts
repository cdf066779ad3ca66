import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {EigenAttention, type EigenAttentionArgs} from '../../layers/index.js';
import {EigenkvError, InvalidArgumentError} from '../../base/errors.js';
import type {EigenWeights} from './merge_weights.js';

/** A layer that takes the place of another one. */
export interface Replacement {
  /** Of the layer that goes, and of the one that comes. */
  readonly name: string;
  /** What `eigenAttention` takes. */
  readonly args: EigenAttentionArgs;
  readonly weights: EigenWeights;
}

const listed = v.looseObject({
  name: v.string(),
  inboundNodes: v.optional(v.array(v.array(v.unknown()))),
});
const functional = v.looseObject({layers: v.array(listed)});

/**
 * A new model with some layers replaced. All others are made anew from their configs; their weights share memory with those
 * of the model that was given until either is trained, and both may be disposed of.
 *
 * @throws InvalidArgumentError where the model is not made of layers in a graph (`tf.model`).
 */
export function replaceLayers(model: tf.LayersModel, replacements: readonly Replacement[]): tf.LayersModel {
  const parsed = v.safeParse(functional, model.getConfig());
  if (!parsed.success || model instanceof tf.Sequential) {
    throw new InvalidArgumentError(
      `The model "${model.name}" is no graph of layers; build it with tf.model({inputs, outputs}).`,
    );
  }
  const byName = new Map(replacements.map(replacement => [replacement.name, replacement]));
  const layers = parsed.output.layers.map(entry => {
    const replacement = byName.get(entry.name);
    if (replacement === undefined) return entry;
    return {
      ...entry,
      className: EigenAttention.className,
      config: {...replacement.args, kernelInitializer: 'zeros', name: entry.name},
      // layers of others may be given keys and values beside; of attention over itself all are the same tensor
      inboundNodes: entry.inboundNodes?.map(node => node.slice(0, 1)),
    };
  });
  const config = JSON.parse(JSON.stringify({...parsed.output, layers})) as tf.serialization.ConfigDict;
  const made = tf.LayersModel.fromConfig<tf.LayersModel>(tf.LayersModel, config, {}, true);
  for (const layer of made.layers) {
    const replacement = byName.get(layer.name);
    if (replacement === undefined) layer.setWeights(model.getLayer(layer.name).getWeights());
    else writeWeights(layer, replacement.weights);
  }
  return made;
}

function writeWeights(layer: tf.layers.Layer, weights: EigenWeights): void {
  for (const variable of layer.weights) {
    const name = variable.originalName.slice(variable.originalName.lastIndexOf('/') + 1);
    const numbers = weights[name];
    if (numbers === undefined) throw new EigenkvError(`Nothing fills "${variable.originalName}".`);
    tf.tidy(() => void variable.write(tf.tensor(numbers, variable.shape as number[])));
  }
}
