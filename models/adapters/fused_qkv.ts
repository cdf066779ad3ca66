import * as tf from '@tensorflow/tfjs';
import {fromHeads, splitHeads} from '../../layers/heads.js';
import {ModelError} from '../../base/errors.js';
import {linear} from '../../ops/linear/index.js';
import {columnSlice} from '../formats/layouts.js';
import type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';

/**
 * An adapter for causal self-attention with one projection for queries, keys and values, as in GPTs: a kernel
 * `[model dim, 3 * model dim]` (queries, keys, values side by side), an output kernel `[model dim, model dim]`, and biases of
 * 3 * model dim and of model dim, or none. They are told apart by their shapes. The number of heads is read from the layer's config,
 * and so is the context (`blockSize`). With `bias: false` in the config, biases exist but are not added, as in `gpt-tfjs`.
 *
 * @param className the class name of the layer. Default 'CausalSelfAttention'.
 * @param headsKeys keys of the config that may hold the number of heads; the first that is present counts.
 *   Default `['numHeads', 'nHead', 'heads']`.
 */
export function fusedQkvAdapter(
  className = 'CausalSelfAttention',
  headsKeys: readonly string[] = ['numHeads', 'nHead', 'heads'],
): AttentionAdapter {
  return {className, describe: layer => describe(layer, headsKeys)};
}

interface FusedVariables {
  readonly kernel: tf.LayerVariable;
  readonly output: tf.LayerVariable;
  readonly bias?: tf.LayerVariable;
  readonly outputBias?: tf.LayerVariable;
}

function describe(layer: tf.layers.Layer, headsKeys: readonly string[]): DenseAttention {
  const {weights} = layer;
  const kernel = weights.find(({shape}) => shape.length === 2 && shape[1] === 3 * shape[0]!);
  const dim = kernel?.shape[0] ?? 0;
  const output = weights.find(({shape}) => shape.length === 2 && shape[0] === dim && shape[1] === dim);
  const config = layer.getConfig();
  const heads = headsKeys.map(key => config[key]).find(value => typeof value === 'number');
  if (kernel === undefined || output === undefined || heads === undefined || dim % heads !== 0) {
    throw new ModelError(
      `Layer "${layer.name}" (${layer.getClassName()}) has weights [${weights.map(({shape}) => shape.join(' x ')).join(', ')}] and ` +
        `${heads ?? 'no'} heads in its config; a fused layer has [dim, 3 dim] and [dim, dim], and ${headsKeys.join(' or ')} that ` +
        'divides dim. Register an adapter for its layout.',
    );
  }
  const {bias: usesBias, blockSize} = config;
  const vector = (length: number) =>
    usesBias === false ? undefined : weights.find(({shape}) => shape.length === 1 && shape[0] === length);
  const variables = {kernel, output, bias: vector(3 * dim), outputBias: vector(dim)};
  return {
    layer,
    heads,
    kvHeads: heads,
    headDim: dim / heads,
    contextLength: typeof blockSize === 'number' ? blockSize : undefined,
    parts: partsOf(variables, heads),
    read: () => read(variables, dim),
  };
}

function partsOf({kernel, output, bias, outputBias}: FusedVariables, heads: number): AttentionParts {
  return {
    project(x) {
      const [queries, keys, values] = tf
        .split(linear(x, kernel.read(), {bias: bias?.read()}), 3, -1)
        .map(part => splitHeads(part, heads)) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return {queries, keys, values};
    },
    output: attended => fromHeads(attended, {matrix: output.read(), bias: outputBias?.read()}),
  };
}

async function read({kernel, output, bias, outputBias}: FusedVariables, dim: number): Promise<DenseWeights> {
  const numbers = async (variable: tf.LayerVariable) => await variable.read().data<'float32'>();
  const fused = await numbers(kernel);
  const biases = bias && (await numbers(bias));
  const part = (index: number) => columnSlice(fused, 3 * dim, index * dim, dim);
  const biasPart = (index: number) => biases?.slice(index * dim, (index + 1) * dim);
  return {
    query: part(0),
    key: part(1),
    value: part(2),
    output: await numbers(output),
    queryBias: biasPart(0),
    keyBias: biasPart(1),
    valueBias: biasPart(2),
    outputBias: outputBias && (await numbers(outputBias)),
  };
}
