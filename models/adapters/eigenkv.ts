import {type LayerShape} from '../../cache/binding/layer_shape.js';
import type * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../base/errors.js';
import {withoutUndefined} from '../../base/records.js';
import {Attention, type AttentionKernel, FlashAttention, type SelfAttentionArgs} from '../../layers/index.js';
import {numbersOf} from '../../ops/weights/packed_variables.js';
import type {AttentionAdapter, DenseAttention, DenseWeights} from './adapter.js';
import {denseWeights} from './dense_weights.js';

/** The layers of eigenkv that are not compressed. */
export const attentionAdapter: AttentionAdapter = {className: Attention.className, describe};
export const flashAttentionAdapter: AttentionAdapter = {className: FlashAttention.className, describe};

function describe(layer: tf.layers.Layer): DenseAttention {
  if (!('layerShape' in layer)) {
    throw new EigenkvError(`Layer "${layer.name}" is not an attention layer of eigenkv.`);
  }
  const {heads, kvHeads, dim: headDim} = layer.layerShape as LayerShape;
  const {rope, scale, window, softCap, alibi, queryGrowth, qkNorm} = layer.getConfig() as Pick<
    SelfAttentionArgs,
    'rope' | 'scale' | 'window' | 'softCap' | 'alibi' | 'queryGrowth' | 'qkNorm'
  >;
  const options = withoutUndefined({rope, scale, window, softCap, alibi, queryGrowth});
  const normalises = qkNorm !== undefined;
  const table = layer.weights.find(({originalName}) => originalName.endsWith('/relative_bias'));
  const relativeBias = table && {relativeBias: () => table.read() as tf.Tensor2D};
  return {layer, heads, kvHeads, headDim, ...options, ...relativeBias, normalises, read: () => read(layer)};
}

async function read({weights, name: layerName}: tf.layers.Layer): Promise<DenseWeights> {
  const find = async (name: string) => {
    const variable = weights.find(({originalName}) => originalName.endsWith(`/${name}`));
    return variable && (await numbersOf(variable));
  };
  const kernelOf = async (side: AttentionKernel) => {
    const found = await find(`${side}_kernel`);
    if (found !== undefined) return found;
    throw new EigenkvError(`Layer "${layerName}" has no ${side} kernel; build the model first.`);
  };
  return denseWeights(kernelOf, side => find(`${side}_bias`));
}
