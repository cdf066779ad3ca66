import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {AttentionAdapter, DenseAttention} from './adapter.js';
import {attentionAdapter, flashAttentionAdapter} from './eigenkv.js';
import {fusedQkvAdapter} from './fused_qkv.js';
import {multiHeadAdapter} from './multi_head.js';

/** By the class name of the layer. */
const adapters = new Map<string, AttentionAdapter>(
  [attentionAdapter, flashAttentionAdapter, multiHeadAdapter, fusedQkvAdapter()].map(adapter => [
    adapter.className,
    adapter,
  ]),
);

/** The class names that there are adapters for. */
export const attentionAdapterNames = () => [...adapters.keys()];

/** A layer as its adapter describes it; undefined if there is no adapter for its class. */
export function describeAttention(layer: tf.layers.Layer): DenseAttention | undefined {
  return adapters.get(layer.getClassName())?.describe(layer);
}

/**
 * Adds an adapter for a class of attention layers.
 * @throws InvalidArgumentError if there is one for the class already.
 */
export function registerAttentionAdapter(adapter: AttentionAdapter): void {
  if (adapters.has(adapter.className)) {
    throw new InvalidArgumentError(`There is already an adapter for ${adapter.className}.`);
  }
  adapters.set(adapter.className, adapter);
}
