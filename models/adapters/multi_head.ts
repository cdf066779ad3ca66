import * as tf from '@tensorflow/tfjs';
import {fromHeads, toHeads} from '../../layers/heads.js';
import {type AttentionKernel, attentionKernels} from '../../layers/self_attention.js';
import {ModelError} from '../../base/errors.js';
import {KerasAttention} from '../../layers/keras/keras_attention.js';
import type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';
import {denseWeights} from './dense_weights.js';

/**
 * An adapter for causal self-attention with the weights of Keras' `MultiHeadAttention` and `GroupQueryAttention`: their names contain `query`,
 * `key`, `value` and `output`; kernels are `[model dim, heads, headDim]`, those of keys and values `[model dim, kvHeads, headDim]`, the output's
 * `[heads, headDim, model dim]`; biases `[heads, headDim]`. The layer must attend causally over its own input; its config does not say what
 * mask it is called with.
 *
 * @param className the class name of the layer. Default 'MultiHeadAttention'.
 */
export function multiHeadAdapter(className = 'MultiHeadAttention'): AttentionAdapter {
  return {
    className,
    describe: layer => (layer instanceof KerasAttention ? describeKeras(layer) : describe(layer)),
  };
}

/** A projection's variables. */
interface SideVariables {
  readonly kernel: tf.LayerVariable;
  readonly bias: tf.LayerVariable | undefined;
}

function describe(layer: tf.layers.Layer): DenseAttention {
  const variables = variablesOf(layer);
  const {modelDim, heads, kvHeads, headDim} = sizesOf(variables, layer.name);
  return {
    layer,
    heads,
    kvHeads,
    headDim,
    parts: partsOf(variables, {query: heads, key: kvHeads, value: kvHeads}, modelDim),
    read: () => read(variables),
  };
}

function variablesOf(layer: tf.layers.Layer): Record<AttentionKernel, SideVariables> {
  const found = attentionKernels.map(side => [
    side,
    {kernel: kernelOf(layer, side), bias: variableOf(layer, side, axes => axes < 3)},
  ]);
  return Object.fromEntries(found) as Record<AttentionKernel, SideVariables>;
}

/** @throws ModelError unless queries, keys and values have one size per head, and the output the size of the input. */
function sizesOf(variables: Readonly<Record<AttentionKernel, SideVariables>>, layer: string) {
  const [modelDim = 0, heads = 0, headDim = 0] = variables.query.kernel.shape as number[];
  const kvHeads = variables.key.kernel.shape[1] ?? 0;
  const ofKeys = [modelDim, kvHeads, headDim];
  const expected = {
    query: [modelDim, heads, headDim],
    key: ofKeys,
    value: ofKeys,
    output: [heads, headDim, modelDim],
  };
  for (const side of attentionKernels) {
    const {shape} = variables[side].kernel;
    if (shape.join() === expected[side].join() && heads % kvHeads === 0) continue;
    throw new ModelError(
      `Layer "${layer}" has a ${side} kernel [${shape.join(', ')}] beside a query kernel ` +
        `[${variables.query.kernel.shape.join(', ')}]; expected [${expected[side].join(', ')}]: one size for queries, keys and values.`,
    );
  }
  return {modelDim, heads, kvHeads, headDim};
}

/** The variable of a side. Names begin with the layer's own name, which may contain a side's name too. */
function variableOf(
  {weights, name}: tf.layers.Layer,
  side: AttentionKernel,
  rank: (axes: number) => boolean,
) {
  return weights.find(variable => {
    const own = variable.originalName.replace(`${name}/`, '');
    return own.includes(side) && rank(variable.shape.length);
  });
}

function kernelOf(layer: tf.layers.Layer, side: AttentionKernel): tf.LayerVariable {
  const found = variableOf(layer, side, axes => axes === 3);
  if (found !== undefined) return found;
  throw new ModelError(
    `Layer "${layer.name}" (${layer.getClassName()}) has no ${side} kernel of three axes; build the model first, or register an ` +
      'adapter for its layout.',
  );
}

/** Kernels and biases are reshaped to two axes and one. */
function partsOf(
  variables: Readonly<Record<AttentionKernel, SideVariables>>,
  heads: Readonly<Record<'query' | 'key' | 'value', number>>,
  modelDim: number,
): AttentionParts {
  const projection = (side: AttentionKernel, shape: [number, number]) => {
    const {kernel, bias} = variables[side];
    return {matrix: tf.reshape(kernel.read(), shape), bias: bias && tf.reshape(bias.read(), [-1])};
  };
  return {
    project: x => {
      const projections = (['query', 'key', 'value'] as const).map(side => ({
        ...projection(side, [modelDim, -1]),
        heads: heads[side],
      }));
      const [queries, keys, values] = toHeads(x, projections) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return {queries, keys, values};
    },
    output: attended => fromHeads(attended, projection('output', [-1, modelDim])),
  };
}

/** The layers of this package with Keras' names, which take a cache themselves. */
function describeKeras(layer: KerasAttention): DenseAttention {
  const {heads, kvHeads, keyDim: headDim} = layer.sizes;
  return {
    layer,
    heads,
    kvHeads,
    headDim,
    window: layer.slidingWindow,
    read: async () => {
      if (layer.isGated || layer.attentionCall!.takes.length > 1) {
        throw new ModelError(
          `Layer "${layer.name}" has ${layer.isGated ? 'a gate' : 'padding masks'}, which compressed attention has not. ` +
            (layer.isGated ? 'Compress its cache instead.' : 'Load the model with {maskZero: false}.'),
        );
      }
      const variables = variablesOf(layer);
      sizesOf(variables, layer.name);
      return await read(variables);
    },
  };
}

function read(variables: Readonly<Record<AttentionKernel, SideVariables>>): Promise<DenseWeights> {
  return denseWeights(
    side => variables[side].kernel.read().data<'float32'>(),
    async side => await variables[side].bias?.read().data<'float32'>(),
  );
}
