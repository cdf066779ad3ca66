import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {attentionClasses} from '../../layers/keras/keras_mask.js';
import type {AttentionAdapter, DenseAttention} from './adapter.js';
import {attentionAdapter, flashAttentionAdapter} from './eigenkv.js';
import {fusedQkvAdapter} from './fused_qkv.js';
import {multiHeadAdapter} from './multi_head.js';

const builtIn = [
  ...[attentionAdapter, flashAttentionAdapter, fusedQkvAdapter()],
  ...attentionClasses.map(multiHeadAdapter),
];

/** By the class name of the layer; those of users go before. */
const adapters = new Map(builtIn.map(adapter => [adapter.className, adapter]));

/** The class names that there are adapters for. */
export const attentionAdapterNames = () => [...adapters.keys()];

/** A layer as its adapter describes it; undefined if there is no adapter for its class. */
export function describeAttention(layer: tf.layers.Layer): DenseAttention | undefined {
  return adapters.get(layer.getClassName())?.describe(layer);
}

/**
 * Adds an adapter for a class of attention layers. It takes the place of one that the package has for a class of the same name: two packages may
 * call different layers `MultiHeadAttention`.
 * @throws InvalidArgumentError if another one was added for the class already.
 */
export function registerAttentionAdapter(adapter: AttentionAdapter): void {
  const {className} = adapter;
  const before = adapters.get(className);
  if (before !== undefined && before !== adapter && !builtIn.includes(before)) {
    throw new InvalidArgumentError(`There is already an adapter for ${className}.`);
  }
  adapters.set(className, adapter);
}
