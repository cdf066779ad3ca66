import type {LayerShape} from '../../cache/binding/layer_shape.js';
import type * as tf from '@tensorflow/tfjs';
import {Attention, FlashAttention} from '../../layers/index.js';
import {EigenkvError} from '../../base/errors.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {AttentionAdapter, DenseAttention, DenseWeights} from './adapter.js';

/** Layers of eigenkv itself, with all their numbers. */
export const attentionAdapter: AttentionAdapter = {className: Attention.className, describe};
export const flashAttentionAdapter: AttentionAdapter = {className: FlashAttention.className, describe};

function describe(layer: tf.layers.Layer): DenseAttention {
  if (!('layerShape' in layer)) throw new EigenkvError(`Layer "${layer.name}" is no attention of eigenkv.`);
  const {heads, kvHeads, dim: headDim} = layer.layerShape as LayerShape;
  const rope = layer.getConfig()['rope'] as RopeConfig | undefined;
  return {layer, heads, kvHeads, headDim, rope, read: () => read(layer)};
}

async function read({weights}: tf.layers.Layer): Promise<DenseWeights> {
  const find = async (name: string) => {
    const variable = weights.find(({originalName}) => originalName.endsWith(`/${name}`));
    return variable === undefined ? undefined : await variable.read().data<'float32'>();
  };
  const kernels = async (name: string) => (await find(`${name}_kernel`))!;
  const [query, key, value, output] = [
    await kernels('query'),
    await kernels('key'),
    await kernels('value'),
    await kernels('output'),
  ];
  const biases = {
    queryBias: await find('query_bias'),
    keyBias: await find('key_bias'),
    valueBias: await find('value_bias'),
    outputBias: await find('output_bias'),
  };
  const present = Object.entries(biases).filter(([, bias]) => bias !== undefined);
  return {query, key, value, output, ...(Object.fromEntries(present) as Partial<DenseWeights>)};
}
