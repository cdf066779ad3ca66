import {type LayerShape} from '../../cache/binding/layer_shape.js';
import type * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../base/errors.js';
import {withoutUndefined} from '../../base/records.js';
import {Attention, FlashAttention, type SelfAttentionArgs} from '../../layers/index.js';
import {numbersOf} from '../../ops/weights/packed_variables.js';
import type {AttentionAdapter, DenseAttention, DenseWeights} from './adapter.js';

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
  return {layer, heads, kvHeads, headDim, ...options, normalises, read: () => read(layer)};
}

async function read({weights, name: layerName}: tf.layers.Layer): Promise<DenseWeights> {
  const find = async (name: string) => {
    const variable = weights.find(({originalName}) => originalName.endsWith(`/${name}`));
    return variable && (await numbersOf(variable));
  };
  const kernel = async (name: string) => {
    const found = await find(`${name}_kernel`);
    if (found === undefined)
      throw new EigenkvError(`Layer "${layerName}" has no ${name} kernel; build the model first.`);
    return found;
  };
  return {
    query: await kernel('query'),
    key: await kernel('key'),
    value: await kernel('value'),
    output: await kernel('output'),
    queryBias: await find('query_bias'),
    keyBias: await find('key_bias'),
    valueBias: await find('value_bias'),
    outputBias: await find('output_bias'),
  };
}
