import * as tf from '@tensorflow/tfjs';
import {fromHeads, toHeads} from '../../layers/heads.js';
import {ModelError} from '../../base/errors.js';
import type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';

/**
 * The layout of Keras' `MultiHeadAttention`: weights whose names contain `query`, `key`, `value` and `output`, with kernels
 * `[model dim, heads, headDim]` (the output's `[heads, headDim, model dim]`) and biases `[heads, headDim]`. The layer must
 * attend causally over its own input; its config does not say what mask it is called with.
 */
export const multiHeadAdapter: AttentionAdapter = {className: 'MultiHeadAttention', describe};

const sides = ['query', 'key', 'value', 'output'] as const;
type Side = (typeof sides)[number];

/** A projection's variables. */
interface SideVariables {
  readonly kernel: tf.LayerVariable;
  readonly bias: tf.LayerVariable | undefined;
}

function describe(layer: tf.layers.Layer): DenseAttention {
  const variables = Object.fromEntries(
    sides.map(side => [
      side,
      {kernel: kernelOf(layer, side), bias: variableOf(layer, side, axes => axes < 3)},
    ]),
  ) as Record<Side, SideVariables>;
  const [modelDim = 0, heads = 0, headDim = 0] = variables.query.kernel.shape as number[];
  const expected = [modelDim, heads, headDim].join();
  const output = [heads, headDim, modelDim].join();
  for (const side of sides) {
    const {shape} = variables[side].kernel;
    if (shape.join() === (side === 'output' ? output : expected)) continue;
    throw new ModelError(
      `Layer "${layer.name}" has a ${side} kernel [${shape.join(', ')}] beside a query kernel ` +
        `[${variables.query.kernel.shape.join(', ')}]; expected one size for queries, keys and values.`,
    );
  }
  return {
    layer,
    heads,
    kvHeads: heads,
    headDim,
    parts: partsOf(variables, heads, modelDim),
    read: () => read(variables),
  };
}

/** The variable of a side. Names begin with the layer's own name, which may contain a side's name too. */
function variableOf({weights, name}: tf.layers.Layer, side: Side, rank: (axes: number) => boolean) {
  return weights.find(variable => {
    const own = variable.originalName.replace(`${name}/`, '');
    return own.includes(side) && rank(variable.shape.length);
  });
}

function kernelOf(layer: tf.layers.Layer, side: Side): tf.LayerVariable {
  const found = variableOf(layer, side, axes => axes === 3);
  if (found !== undefined) return found;
  throw new ModelError(
    `Layer "${layer.name}" (${layer.getClassName()}) has no ${side} kernel of three axes; build the model first, or register an ` +
      'adapter for its layout.',
  );
}

/** Kernels and biases are reshaped to two axes and one. */
function partsOf(
  variables: Readonly<Record<Side, SideVariables>>,
  heads: number,
  modelDim: number,
): AttentionParts {
  const projection = (side: Side, shape: [number, number]) => {
    const {kernel, bias} = variables[side];
    return {matrix: tf.reshape(kernel.read(), shape), bias: bias && tf.reshape(bias.read(), [-1]), heads};
  };
  return {
    project: x => {
      const sides = (['query', 'key', 'value'] as const).map(side => projection(side, [modelDim, -1]));
      const [queries, keys, values] = toHeads(x, sides) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return {queries, keys, values};
    },
    output: attended => fromHeads(attended, projection('output', [-1, modelDim])),
  };
}

async function read(variables: Readonly<Record<Side, SideVariables>>): Promise<DenseWeights> {
  const kernel = async (side: Side) => await variables[side].kernel.read().data<'float32'>();
  const bias = async (side: Side) => await variables[side].bias?.read().data<'float32'>();
  return {
    query: await kernel('query'),
    key: await kernel('key'),
    value: await kernel('value'),
    output: await kernel('output'),
    queryBias: await bias('query'),
    keyBias: await bias('key'),
    valueBias: await bias('value'),
    outputBias: await bias('output'),
  };
}
