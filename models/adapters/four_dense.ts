import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {ModelError, shown} from '../../base/errors.js';
import {atLeast, callback, checkOptions} from '../../base/options.js';
import {fromHeads, toHeads} from '../../layers/heads.js';
import {type AttentionKernel, attentionKernels} from '../../layers/self_attention.js';
import type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';
import {denseWeights} from './dense_weights.js';

/** What an attention layer calls its parts, and how it scores. */
export interface FourDenseOptions extends Pick<
  DenseAttention,
  'rope' | 'scale' | 'window' | 'softCap' | 'alibi' | 'contextLength'
> {
  /** Returns a layer's biases by head and distance, at each call: see `ScoringOptions.relativeBias`. Default: none. */
  readonly relativeBias?: (layer: tf.layers.Layer) => tf.Tensor2D;
  /** The field that holds the `tf.layers.dense` of queries. Default 'query'. */
  readonly query?: string;
  /** That of keys. Default 'key'. */
  readonly key?: string;
  /** That of values. Default 'value'. */
  readonly value?: string;
  /** That of the output projection. Default 'output'; tfjs has a property of this name in every layer, so most call it otherwise. */
  readonly output?: string;
  /** The key of the config, or the field, that holds the number of query heads. Default 'numHeads'. */
  readonly heads?: string;
  /** The same for key and value heads. Default: as many as query heads. */
  readonly kvHeads?: string;
}

const name = v.string('expected the name of a field');
const entries = {
  query: v.optional(name, 'query'),
  key: v.optional(name, 'key'),
  value: v.optional(name, 'value'),
  output: v.optional(name, 'output'),
  heads: v.optional(name, 'numHeads'),
  kvHeads: v.optional(name),
  rope: v.optional(
    v.custom<NonNullable<DenseAttention['rope']>>(
      given => typeof given === 'object',
      'expected a rope config',
    ),
  ),
  scale: v.optional(v.number('expected a number')),
  window: v.optional(
    v.union([v.literal(Infinity), atLeast(1)], 'expected a whole number of tokens, 1 or more'),
  ),
  softCap: v.optional(v.number('expected a number')),
  alibi: v.optional(v.boolean('expected true or false')),
  relativeBias: v.optional(callback<NonNullable<FourDenseOptions['relativeBias']>>()),
  contextLength: v.optional(atLeast(1)),
};
const optionsSchema = v.strictObject(entries);

type Options = v.InferOutput<typeof optionsSchema>;

/**
 * An adapter for causal self-attention that is a layer with four `tf.layers.dense` as its fields, for queries, keys, values and the output:
 *
 *     registerAttentionAdapter(fourDenseAdapter('CausalAttention', {query: 'wq', key: 'wk', value: 'wv', output: 'wo', heads: 'nHead'}));
 *
 * @param className the class name of the layer.
 * @throws InvalidArgumentError for an unknown option, or one that is not allowed.
 */
export function fourDenseAdapter(className: string, options: FourDenseOptions = {}): AttentionAdapter {
  const checked = checkOptions(`fourDenseAdapter("${className}")`, optionsSchema, options);
  return {className, describe: layer => describe(layer, checked)};
}

function describe(layer: tf.layers.Layer, options: Options): DenseAttention {
  const dense = Object.fromEntries(
    attentionKernels.map(side => [side, denseOf(layer, options[side])]),
  ) as Record<AttentionKernel, tf.layers.Layer>;
  const heads = countOf(layer, options.heads);
  const kvHeads = options.kvHeads === undefined ? heads : countOf(layer, options.kvHeads);
  const columns = kernelOf(dense.query).shape[1]!;
  const headDim = columns / heads;
  for (const [side, count] of [
    ['query', heads],
    ['key', kvHeads],
    ['value', kvHeads],
  ] as const) {
    const {shape} = kernelOf(dense[side]);
    if (Number.isInteger(headDim) && shape[1] === count * headDim && heads % kvHeads === 0) continue;
    throw new ModelError(
      `Layer "${layer.name}" has ${heads} query heads and ${kvHeads} key heads, and the kernel of its ${side} is [${shape.join(', ')}] beside ` +
        `${columns} columns of queries; heads must have one size.`,
    );
  }
  const {rope, scale, window, softCap, alibi, relativeBias, contextLength} = options;
  return {
    ...{layer, heads, kvHeads, headDim, rope, scale, window, softCap, alibi, contextLength},
    ...(relativeBias && {relativeBias: () => relativeBias(layer)}),
    parts: partsOf(dense, {query: heads, key: kvHeads, value: kvHeads}),
    read: () => read(dense),
  };
}

/** @throws ModelError if the field is no dense layer that is linear. */
function denseOf(layer: tf.layers.Layer, field: string): tf.layers.Layer {
  const member: unknown = Reflect.get(layer, field);
  if (member instanceof tf.layers.Layer && member.getClassName() === 'Dense') {
    const {activation} = member.getConfig();
    if (activation === undefined || activation === null || activation === 'linear') return member;
    throw new ModelError(
      `Layer "${layer.name}": its ${field} has the activation ${shown(activation)}; projections of attention are linear.`,
    );
  }
  const found = Object.entries(layer).flatMap(([key, value]) =>
    value instanceof tf.layers.Layer ? [key] : [],
  );
  throw new ModelError(
    `Layer "${layer.name}" (${layer.getClassName()}) has no dense layer as its field "${field}"; its layers are ${found.join(', ') || 'none'}.`,
  );
}

function countOf(layer: tf.layers.Layer, key: string): number {
  const said: unknown = layer.getConfig()[key] ?? Reflect.get(layer, key);
  if (typeof said === 'number' && Number.isInteger(said) && said >= 1) return said;
  throw new ModelError(
    `Layer "${layer.name}" (${layer.getClassName()}) says no number of heads as "${key}", in its config or as a field.`,
  );
}

/** @throws ModelError before the layer was built. */
function kernelOf(dense: tf.layers.Layer): tf.LayerVariable {
  const kernel = dense.weights.find(({shape}) => shape.length === 2);
  if (kernel !== undefined) return kernel;
  throw new ModelError(
    `The dense layer "${dense.name}" has no kernel yet; run the model once, so that it is built.`,
  );
}

const biasOf = (dense: tf.layers.Layer) => dense.weights.find(({shape}) => shape.length === 1);

function partsOf(
  dense: Readonly<Record<AttentionKernel, tf.layers.Layer>>,
  heads: Readonly<Record<'query' | 'key' | 'value', number>>,
): AttentionParts {
  const projection = (side: AttentionKernel) => ({
    matrix: kernelOf(dense[side]).read(),
    bias: biasOf(dense[side])?.read(),
  });
  return {
    project(x) {
      const projections = (['query', 'key', 'value'] as const).map(side => ({
        ...projection(side),
        heads: heads[side],
      }));
      const [queries, keys, values] = toHeads(x, projections) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return {queries, keys, values};
    },
    output: attended => fromHeads(attended, projection('output')),
  };
}

function read(dense: Readonly<Record<AttentionKernel, tf.layers.Layer>>): Promise<DenseWeights> {
  return denseWeights(
    side => kernelOf(dense[side]).read().data<'float32'>(),
    async side => await biasOf(dense[side])?.read().data<'float32'>(),
  );
}
