import type * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../../ops/errors.js';
import type {AttentionAdapter, DenseAttention, DenseWeights} from './adapter.js';

/**
 * The layout of Keras' `MultiHeadAttention`: weights whose names hold `query`, `key`, `value` and `output`, with kernels
 * `[model dim, heads, headDim]` (the output's `[heads, headDim, model dim]`) and biases `[heads, headDim]`. The layer must
 * attend causally over its own first input: what a call was told of masks does not stand in its config.
 */
export const multiHeadAdapter: AttentionAdapter = {className: 'MultiHeadAttention', describe};

const sides = ['query', 'key', 'value', 'output'] as const;
type Side = (typeof sides)[number];

function describe(layer: tf.layers.Layer): DenseAttention {
  const kernels = Object.fromEntries(sides.map(side => [side, kernelOf(layer, side)])) as Record<
    Side,
    tf.LayerVariable
  >;
  const [modelDim = 0, heads = 0, headDim = 0] = kernels.query.shape as number[];
  const expected = [modelDim, heads, headDim].join();
  const output = [heads, headDim, modelDim].join();
  for (const side of sides) {
    const shape = kernels[side].shape.join();
    if (shape === (side === 'output' ? output : expected)) continue;
    throw new ModelError(
      `Layer "${layer.name}" has a ${side} kernel [${kernels[side].shape.join(', ')}] beside a query kernel ` +
        `[${kernels.query.shape.join(', ')}]; only heads of one size for queries, keys and values can be compressed.`,
    );
  }
  return {layer, heads, kvHeads: heads, headDim, read: () => read(layer, kernels)};
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

async function read(
  layer: tf.layers.Layer,
  kernels: Readonly<Record<Side, tf.LayerVariable>>,
): Promise<DenseWeights> {
  const numbers = async (side: Side) => await kernels[side].read().data<'float32'>();
  const biases: Record<string, Float32Array> = {};
  for (const side of sides) {
    const bias = variableOf(layer, side, axes => axes < 3);
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
