import type * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../../ops/errors.js';
import {columnSlice} from '../../load/layouts.js';
import type {AttentionAdapter, DenseAttention, DenseWeights} from './adapter.js';

/**
 * Causal self-attention with one projection for queries, keys and values, as GPTs have it: a kernel `[model dim, 3 * model dim]`
 * (queries, keys, values side by side), one `[model dim, model dim]` behind the attention, and biases of 3 * model dim and of
 * model dim, or none. Told apart by their shapes; the number of heads stands in the layer's config.
 *
 * @param className of the layer. Default 'CausalSelfAttention'.
 * @param headsKeys where the config has the number of heads: the first of these keys that is there.
 */
export function fusedQkvAdapter(
  className = 'CausalSelfAttention',
  headsKeys: readonly string[] = ['numHeads', 'nHead', 'heads'],
): AttentionAdapter {
  return {className, describe: layer => describe(layer, headsKeys)};
}

function describe(layer: tf.layers.Layer, headsKeys: readonly string[]): DenseAttention {
  const {weights} = layer;
  const fused = weights.find(({shape}) => shape.length === 2 && shape[1] === 3 * shape[0]!);
  const dim = fused?.shape[0] ?? 0;
  const output = weights.find(({shape}) => shape.length === 2 && shape[0] === dim && shape[1] === dim);
  const config = layer.getConfig();
  const heads = headsKeys.map(key => config[key]).find(value => typeof value === 'number');
  if (fused === undefined || output === undefined || heads === undefined || dim % heads !== 0) {
    throw new ModelError(
      `Layer "${layer.name}" (${layer.getClassName()}) has weights [${weights.map(({shape}) => shape.join(' x ')).join(', ')}] and ` +
        `${heads ?? 'no'} heads in its config; a fused layer has [dim, 3 dim] and [dim, dim], and ${headsKeys.join(' or ')} that ` +
        'divides dim. Register an adapter for its layout.',
    );
  }
  return {
    layer,
    heads,
    kvHeads: heads,
    headDim: dim / heads,
    read: () => read(layer, fused, output, dim),
  };
}

async function read(
  {weights}: tf.layers.Layer,
  fused: tf.LayerVariable,
  output: tf.LayerVariable,
  dim: number,
): Promise<DenseWeights> {
  const vector = async (length: number) => {
    const found = weights.find(({shape}) => shape.length === 1 && shape[0] === length);
    return found && (await found.read().data<'float32'>());
  };
  const kernel = await fused.read().data<'float32'>();
  const [bias, outputBias] = [await vector(3 * dim), await vector(dim)];
  const part = (numbers: Float32Array, index: number) => columnSlice(numbers, 3 * dim, index * dim, dim);
  return {
    query: part(kernel, 0),
    key: part(kernel, 1),
    value: part(kernel, 2),
    output: await output.read().data<'float32'>(),
    ...(bias && {queryBias: part(bias, 0), keyBias: part(bias, 1), valueBias: part(bias, 2)}),
    ...(outputBias && {outputBias}),
  };
}
