import type * as tf from '@tensorflow/tfjs';
import {EigenAttention} from '../../layers/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import type {AttentionAdapter, DenseAttention} from './adapter.js';
import {attentionAdapter, flashAttentionAdapter} from './eigenkv.js';
import {fusedQkvAdapter} from './fused_qkv.js';
import {multiHeadAdapter} from './multi_head.js';

export type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';
export {fusedQkvAdapter} from './fused_qkv.js';

/** Every kind of attention layer that can be compressed, by its class. */
const adapters = new Map<string, AttentionAdapter>(
  [attentionAdapter, flashAttentionAdapter, multiHeadAdapter, fusedQkvAdapter()].map(adapter => [
    adapter.className,
    adapter,
  ]),
);

/** Whether the class of a layer says by its name that it attends. */
export const isAttention = (layer: tf.layers.Layer) => /attention/i.test(layer.getClassName());

/** The classes that there are adapters for. */
export const attentionAdapterNames = () => [...adapters.keys()];

/** A layer as its adapter describes it; undefined where none knows it. */
export function describeAttention(layer: tf.layers.Layer): DenseAttention | undefined {
  return adapters.get(layer.getClassName())?.describe(layer);
}

/**
 * The attention layers of a model, one for each depth.
 * @throws InvalidArgumentError where there is none, or one that no adapter knows: it is named.
 */
export function denseAttentions(model: tf.LayersModel): DenseAttention[] {
  const strangers = model.layers.filter(layer => isAttention(layer) && !adapters.has(layer.getClassName()));
  const [compressed] = strangers.filter(layer => layer.getClassName() === EigenAttention.className);
  if (compressed !== undefined) {
    throw new InvalidArgumentError(
      `Layer "${compressed.name}" is compressed already; calibrate and compress the model that it was made of.`,
    );
  }
  if (strangers.length > 0) {
    const listed = strangers.map(layer => `"${layer.name}" (${layer.getClassName()})`).join(', ');
    throw new InvalidArgumentError(
      `No adapter knows the attention layers ${listed}; there are adapters for ${attentionAdapterNames().join(', ')}. Add one ` +
        'with registerAttentionAdapter.',
    );
  }
  const found = model.layers.flatMap(layer => describeAttention(layer) ?? []).map(withUsualScale);
  if (found.length === 0) {
    throw new InvalidArgumentError('This model has no attention layer to compress.');
  }
  return found.sort((a, b) => depthOf(a) - depthOf(b));
}

/**
 * The same attention with scores by 1 / sqrt(headDim): queries take up what differs, since compressed layers scale by nothing else.
 * @throws InvalidArgumentError where it looks back no further than a window, which compressed layers cannot.
 */
function withUsualScale({scale, ...attention}: DenseAttention): DenseAttention {
  const {layer, headDim, window, read} = attention;
  if (window !== undefined && window < (attention.contextLength ?? Infinity)) {
    throw new InvalidArgumentError(
      `Layer "${layer.name}" (${layer.getClassName()}) attends within a window of ${window} tokens; compressed layers attend to all.`,
    );
  }
  if (scale === undefined) return attention;
  const factor = scale * Math.sqrt(headDim);
  const scaled = (numbers: Float32Array) => numbers.map(number => number * factor);
  return {
    ...attention,
    async read() {
      const weights = await read();
      const {query, queryBias} = weights;
      return {...weights, query: scaled(query), ...(queryBias && {queryBias: scaled(queryBias)})};
    },
  };
}

/**
 * Adds an adapter to an attention layer of your own.
 * @throws InvalidArgumentError where there is one for its class.
 */
export function registerAttentionAdapter(adapter: AttentionAdapter): void {
  if (adapters.has(adapter.className)) {
    throw new InvalidArgumentError(`There is an adapter for ${adapter.className} already.`);
  }
  adapters.set(adapter.className, adapter);
}

/** Layers that know their depth come in its order, others in that of the model. */
function depthOf({layer}: DenseAttention): number {
  return 'layerShape' in layer ? (layer.layerShape as {depth: number}).depth : 0;
}
