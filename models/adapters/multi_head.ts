import * as tf from '@tensorflow/tfjs';
import {type Projection, fromHeads, toHeads} from '../../layers/heads.js';
import {ModelError} from '../../base/errors.js';
import type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';

/**
 * The layout of Keras' `MultiHeadAttention`: weights whose names hold `query`, `key`, `value` and `output`, with kernels
 * `[model dim, heads, headDim]` (the output's `[heads, headDim, model dim]`) and biases `[heads, headDim]`. The layer must
 * attend causally over its own first input: what a call was told of masks does not stand in its config.
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
        `[${variables.query.kernel.shape.join(', ')}]; only heads of one size for queries, keys and values can be compressed.`,
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

/** `find` by the side's name; names hold the layer's own as well, so only what stands behind it counts. */
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
    `Layer "${layer.name}" (${layer.getClassName()}) has no ${side} kernel of three axes; build the model before it is compressed, ` +
      'or register an adapter for its layout.',
  );
}

/** Kernels and biases are the same numbers with fewer axes. */
function partsOf(
  variables: Readonly<Record<Side, SideVariables>>,
  heads: number,
  modelDim: number,
): AttentionParts {
  const projection = (side: Side, shape: [number, number]): Projection => {
    const {kernel, bias} = variables[side];
    return {kernel: tf.reshape(kernel.read(), shape), bias: bias && tf.reshape(bias.read(), [-1])};
  };
  const ofHeads = (x: tf.Tensor, side: Side) => toHeads(x, heads, projection(side, [modelDim, -1]));
  return {
    project: x => ({queries: ofHeads(x, 'query'), keys: ofHeads(x, 'key'), values: ofHeads(x, 'value')}),
    output: attended => fromHeads(attended, projection('output', [-1, modelDim])),
  };
}

async function read(variables: Readonly<Record<Side, SideVariables>>): Promise<DenseWeights> {
  const numbers = async (side: Side) => await variables[side].kernel.read().data<'float32'>();
  const biases: Record<string, Float32Array> = {};
  for (const side of sides) {
    const {bias} = variables[side];
    if (bias !== undefined) biases[`${side}Bias`] = await bias.read().data<'float32'>();
  }
  return {
    query: await numbers('query'),
    key: await numbers('key'),
    value: await numbers('value'),
    output: await numbers('output'),
    ...biases,
  };
}
