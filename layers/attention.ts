import * as tf from '@tensorflow/tfjs';
import type {AttentionCache, CacheRow} from '../cache/kv_cache.js';
import {causalAttention} from '../ops/causal_attention/index.js';
import {InvalidArgumentError} from '../ops/errors.js';
import {rotate} from '../ops/rotate/index.js';
import {type RopeConfig, rotationFor} from '../ops/rotate/rope.js';
import {
  type CallArgs,
  type KernelInitializer,
  type LayerArgs,
  configOf,
  initializerOf,
  knownDim,
  onlyShape,
  onlyTensor,
  positive,
} from './layer_args.js';
import {project} from './project.js';

export interface AttentionArgs extends LayerArgs {
  /** Query heads. */
  numHeads: number;
  /** Heads of keys and values; divides `numHeads`. Default: `numHeads`. */
  numKvHeads?: number;
  /** Dim of a head. Default: the model's dim / `numHeads`. */
  headDim?: number;
  /** The index of this layer among the model's attention layers: its row in a cache. Default 0. */
  depth?: number;
  /** Rotary positions. Default: none. */
  rope?: RopeConfig;
  /** Biases of the query, key and value projections. Default false. */
  useBias?: boolean;
  /** A bias of the output projection. Default false. */
  useOutputBias?: boolean;
  /** Default 'glorotUniform'. */
  kernelInitializer?: KernelInitializer;
}

/**
 * Causal self-attention with its four projections (Vaswani et al., 2017, arXiv 1706.03762), grouped-query heads (Ainslie
 * et al., 2023, arXiv 2305.13245) and rotary positions (Su et al., 2021, arXiv 2104.09864).
 *
 *     q, k, v = x W_q + b_q, x W_k + b_k, x W_v + b_v        out = attention(q, k, v) W_o + b_o
 *
 * Input and output float32 `[batch, tokens, model dim]`. With `model.apply(x, {cache})` the tokens attend over what the
 * cache holds as well, and come into it; without, over themselves (differentiable, for training).
 */
export class Attention extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvAttention';
  private readonly config: Omit<AttentionArgs, keyof LayerArgs> &
    Required<Pick<AttentionArgs, 'numKvHeads' | 'depth' | 'kernelInitializer'>>;
  private headDim: number | undefined;
  private readonly kernels: Record<string, tf.LayerVariable> = {};

  constructor(args: AttentionArgs) {
    super(args);
    const {numHeads, numKvHeads = numHeads, headDim, depth = 0, rope, useBias, useOutputBias} = args;
    positive(numHeads, 'numHeads', this.name);
    positive(numKvHeads, 'numKvHeads', this.name);
    if (numHeads % numKvHeads !== 0) {
      throw new InvalidArgumentError(
        `${this.name}: numHeads = ${numHeads} is no multiple of numKvHeads = ${numKvHeads}.`,
      );
    }
    if (headDim !== undefined) positive(headDim, 'headDim', this.name);
    this.headDim = headDim;
    this.config = {
      numHeads,
      numKvHeads,
      depth,
      ...(headDim !== undefined && {headDim}),
      ...(rope && {rope}),
      useBias: useBias ?? false,
      useOutputBias: useOutputBias ?? false,
      kernelInitializer: args.kernelInitializer ?? 'glorotUniform',
    };
  }

  /** This layer's row in a cache. Known once the layer is built. */
  get cacheRow(): CacheRow {
    const {depth, numHeads: heads, numKvHeads: kvHeads} = this.config;
    if (this.headDim === undefined) throw new InvalidArgumentError(`Layer "${this.name}" is not built yet.`);
    return {depth, heads, kvHeads, dim: this.headDim, dimV: this.headDim};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(onlyShape(inputShape), this.name);
    const {numHeads, numKvHeads, useBias, useOutputBias} = this.config;
    const headDim = (this.headDim ??= dim / numHeads);
    if (!Number.isInteger(headDim)) {
      throw new InvalidArgumentError(
        `${this.name}: the model's dim ${dim} does not divide into ${numHeads} heads; give headDim.`,
      );
    }
    this.addProjection('query', dim, numHeads * headDim, useBias);
    this.addProjection('key', dim, numKvHeads * headDim, useBias);
    this.addProjection('value', dim, numKvHeads * headDim, useBias);
    this.addProjection('output', numHeads * headDim, dim, useOutputBias);
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      const {numHeads, numKvHeads} = this.config;
      const queries = splitHeads(this.project('query', x), numHeads);
      const keys = splitHeads(this.project('key', x), numKvHeads);
      const values = splitHeads(this.project('value', x), numKvHeads);
      return this.project('output', joinHeads(this.attend(queries, keys, values, kwargs.cache)));
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return onlyShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }

  private attend(
    queries: tf.Tensor4D,
    keys: tf.Tensor4D,
    values: tf.Tensor4D,
    cache?: AttentionCache,
  ): tf.Tensor4D {
    const {rope, depth} = this.config;
    if (cache !== undefined) return cache.attend(depth, {queries, keys, values, ...(rope && {rope})});
    const [, , tokens, dim] = queries.shape;
    const scale = 1 / Math.sqrt(dim);
    if (rope === undefined) return causalAttention(queries, keys, values, scale);
    const rotation = rotationFor(rope, dim, 0, tokens);
    return causalAttention(rotate(queries, rotation), rotate(keys, rotation), values, scale);
  }

  private addProjection(name: string, inputs: number, outputs: number, bias = false): void {
    const initializer = initializerOf(this.config.kernelInitializer);
    this.kernels[name] = this.addWeight(`${name}_kernel`, [inputs, outputs], 'float32', initializer);
    if (bias)
      this.kernels[`${name}Bias`] = this.addWeight(
        `${name}_bias`,
        [outputs],
        'float32',
        tf.initializers.zeros(),
      );
  }

  private project(name: string, x: tf.Tensor): tf.Tensor {
    return project(x, this.kernels[name]!.read(), this.kernels[`${name}Bias`]?.read());
  }
}

/** `[batch, tokens, heads * dim]` to `[batch, heads, tokens, dim]`. */
function splitHeads(x: tf.Tensor, heads: number): tf.Tensor4D {
  const [batch, tokens, columns] = x.shape as [number, number, number];
  const dim = columns / heads;
  if (tokens === 1) return tf.reshape(x, [batch, heads, 1, dim]); // nothing to move
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, dim]), [0, 2, 1, 3]);
}

/** `[batch, heads, tokens, dim]` to `[batch, tokens, heads * dim]`. */
function joinHeads(x: tf.Tensor4D): tf.Tensor {
  const [batch, heads, tokens, dim] = x.shape;
  const moved = tokens === 1 ? x : tf.transpose(x, [0, 2, 1, 3]);
  return tf.reshape(moved, [batch, tokens, heads * dim]);
}

tf.serialization.registerClass(Attention);

/** Causal self-attention with a cache; see `Attention`. */
export function attention(args: AttentionArgs): Attention {
  return new Attention(args);
}
