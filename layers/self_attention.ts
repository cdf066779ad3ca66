import type {AttentionCache} from '../cache/attention_cache.js';
import type {LayerShape} from '../cache/binding/layer_shape.js';
import type {FreshTokens} from '../cache/past/fresh_tokens.js';
import {type Spec, specOf} from '../base/options.js';
import {type PolicyLike, asPolicy} from '../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {type Scoring, type ScoringOptions, checkScoring, scoringOf} from '../ops/attention/scoring.js';
import type {RopeConfig} from '../ops/rotate/rope.js';
import {isPacked} from '../ops/weights/matrix.js';
import {cachedAttention} from './cached_attention.js';
import {type HeadProjection, fromHeads, toHeads} from './heads.js';
import {maskingLayer} from './mask_sources.js';
import {type MatrixArgs, MatrixLayer} from './matrix_layer.js';
import {type QkNorm, type QueryGrowth, checkedNorms, grownQueries} from './qk_norm.js';
import {
  type CallArgs,
  type KernelInitializer,
  type LayerArgs,
  configOf,
  knownDim,
  firstShape,
  inputAndResidual,
  positive,
  refuseMask,
} from './layer_args.js';

/** The matrices of an attention layer. */
export const attentionKernels = ['query', 'key', 'value', 'output'] as const;
export type AttentionKernel = (typeof attentionKernels)[number];

/** What all attention layers of eigenkv take. */
export interface SelfAttentionArgs
  extends LayerArgs, MatrixArgs<AttentionKernel>, Omit<ScoringOptions, 'relativeBias'> {
  /** Number of query heads, at least 1. Required. */
  numHeads: number;
  /** Number of key and value heads; divides `numHeads`. Default: `numHeads`. */
  numKvHeads?: number;
  /** Numbers per head. Default: the model's dim / `numHeads`, which must be a whole number. */
  headDim?: number;
  /** Index of this layer among the model's attention layers, from 0: where a cache stores its tokens. Default 0. */
  depth?: number;
  /** Rotary positions of queries and keys. Default: none, no rotation. */
  rope?: RopeConfig;
  /**
   * How many distances have biases of their own, the last standing for all greater ones: the weight `relative_bias`, float32 `[numHeads, distances]`,
   * zeros at first (relative position bias, as in T5's decoder: see `ScoringOptions.relativeBias`). Default: none.
   */
  relativeDistances?: number | undefined;
  /**
   * Root mean square norms of queries and keys with gains, the weights `query_norm` and `key_norm`, before rotation and before a cache stores
   * anything (Henry et al., 2020, arXiv 2010.04245). Default: none.
   */
  qkNorm?: QkNorm | undefined;
  /** Added to the mean square in `qkNorm`. Default 1e-6. */
  qkNormEpsilon?: number;
  /** How queries grow with their position. Default: they do not. */
  queryGrowth?: QueryGrowth | undefined;
  /** Whether the query, key and value projections have biases. Default false. */
  useBias?: boolean;
  /** Whether the output projection has a bias. Default false. */
  useOutputBias?: boolean;
  /** How a cache without a plan stores this layer's keys and values. Default: none, which is `full`. */
  cachePolicy?: PolicyLike;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/** Numbers per head. */
export interface HeadSizes {
  /** In an uncompressed head. */
  readonly head: number;
  /** In queries, keys and values as the projections give them. */
  readonly query: number;
  readonly key: number;
  readonly value: number;
}

/**
 * What causal self-attention layers share: options, four projections, and the cache. A subclass overrides the sizes of its heads
 * (`headSizes`, `storedSizes`) and how it attends (`attend`).
 */
export abstract class SelfAttention extends MatrixLayer<AttentionKernel> {
  protected readonly options: Omit<
    SelfAttentionArgs,
    keyof LayerArgs | keyof MatrixArgs<AttentionKernel> | 'cachePolicy'
  > &
    Required<Pick<SelfAttentionArgs, 'numKvHeads' | 'depth' | 'kernelInitializer'>> & {
      readonly cachePolicy?: Spec;
    };
  private uncompressedDim: number | undefined;
  private relativeBias: tf.LayerVariable | undefined;
  private plainScoring: Scoring | undefined;
  private readonly norms: {query?: tf.LayerVariable; key?: tf.LayerVariable} = {};
  private maskedBy: tf.layers.Layer | undefined;
  private metric: {readonly of: object; readonly gram: tf.Tensor3D} | undefined;

  constructor(args: SelfAttentionArgs) {
    super(args, attentionKernels);
    const {numHeads, numKvHeads = numHeads, headDim, depth = 0, rope, cachePolicy} = args;
    const {scale, window, softCap, alibi, relativeDistances} = args;
    positive(numHeads, 'numHeads', this.name);
    positive(numKvHeads, 'numKvHeads', this.name);
    if (numHeads % numKvHeads !== 0) {
      throw new InvalidArgumentError(
        `${this.name}: numHeads = ${numHeads} is not a multiple of numKvHeads = ${numKvHeads}.`,
      );
    }
    if (headDim !== undefined) positive(headDim, 'headDim', this.name);
    checkScoring(args, {heads: numHeads, kvHeads: numKvHeads}, this.name);
    checkDistances(args, this.name);
    this.uncompressedDim = headDim;
    this.options = {
      numHeads,
      numKvHeads,
      headDim,
      depth,
      rope,
      ...{scale, window, softCap, alibi, relativeDistances},
      ...checkedNorms(args, this.name),
      useBias: args.useBias ?? false,
      useOutputBias: args.useOutputBias ?? false,
      cachePolicy: cachePolicy === undefined ? undefined : specOf(asPolicy(cachePolicy)),
      kernelInitializer: args.kernelInitializer ?? 'glorotUniform',
    };
  }

  /** The sizes of this layer in a cache. Known once the layer is built. */
  get layerShape(): LayerShape {
    const {depth, numHeads: heads, numKvHeads: kvHeads, cachePolicy: policy, window} = this.options;
    return {depth, heads, kvHeads, ...this.storedSizes(this.headSizes()), window, policy};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(firstShape(inputShape), this.name);
    const {numHeads, numKvHeads, useBias, useOutputBias, kernelInitializer, relativeDistances} = this.options;
    this.uncompressedDim ??= dim / numHeads;
    if (!Number.isInteger(this.uncompressedDim)) {
      throw new InvalidArgumentError(
        `${this.name}: the model's dim ${dim} is not a multiple of its ${numHeads} heads; give headDim.`,
      );
    }
    const {query, key, value} = this.headSizes();
    const add = (kernel: AttentionKernel, inputs: number, outputs: number, bias = false) =>
      this.addProjection(kernel, {inputs, outputs, useBias: bias, kernelInitializer});
    add('query', dim, numHeads * query, useBias);
    add('key', dim, numKvHeads * key, useBias);
    add('value', dim, numKvHeads * value, useBias);
    add('output', numHeads * value, dim, useOutputBias);
    this.addNorm('query', numHeads, query);
    this.addNorm('key', numKvHeads, key);
    if (relativeDistances !== undefined) {
      const shape = [numHeads, relativeDistances];
      this.relativeBias = this.addWeight('relative_bias', shape, 'float32', tf.initializers.zeros());
    }
    super.build(inputShape);
  }

  /** Searches the graph before this layer for a mask, since tfjs may lose one on the way: see `maskingLayer`. */
  override apply(
    inputs: tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[],
    kwargs?: CallArgs,
  ): tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[] {
    for (const input of [inputs].flat()) {
      if (input instanceof tf.SymbolicTensor) this.maskedBy ??= maskingLayer(input);
    }
    return super.apply(inputs, kwargs);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    refuseMask(this.maskedBy === undefined ? kwargs : {mask: this.maskedBy}, this.name);
    return tf.tidy(() => {
      const {x, residual} = inputAndResidual(inputs, this.name);
      const {numHeads, numKvHeads} = this.options;
      const {activations} = this;
      const [queries, keys, values] = toHeads(
        x,
        [
          {heads: numHeads, norm: this.norm('query'), ...this.projection('query')},
          {heads: numKvHeads, norm: this.norm('key'), ...this.projection('key')},
          {heads: numKvHeads, ...this.projection('value')},
        ],
        {activations},
      ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      const start = kwargs.cache?.tokens ?? 0;
      const {queryGrowth} = this.options;
      const grown = grownQueries(queries, queryGrowth, start);
      const attended = this.attend({queries: grown, keys, values}, kwargs.cache);
      return fromHeads(attended, this.projection('output'), {activations, residual});
    });
  }

  /**
   * What a change of the attention output costs: `W_O W_O^T` of each head, float32 `[heads, value size, value size]`. Computed once for given
   * weights; this layer owns it. For keepers that weigh tokens by it: see `Candidates.outputMetric`.
   */
  outputMetric(): tf.Tensor3D {
    const matrix = this.matrix('output');
    const {dataId} = isPacked(matrix) ? matrix.records : matrix;
    if (this.metric?.of !== dataId) {
      this.metric?.gram.dispose();
      const gram = tf.tidy(() => {
        const ofHeads = tf.reshape(this.floatMatrix('output'), [
          this.options.numHeads,
          this.headSizes().value,
          -1,
        ]);
        return tf.keep(tf.matMul<tf.Tensor3D>(ofHeads, ofHeads, false, true));
      });
      this.metric = {of: dataId, gram};
    }
    return this.metric.gram;
  }

  override dispose(): ReturnType<tf.layers.Layer['dispose']> {
    const result = super.dispose();
    if (result.refCountAfterDispose === 0) {
      this.metric?.gram.dispose();
      this.metric = undefined;
    }
    return result;
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.options)};
  }

  /** Attention between the projections: `[batch, heads, tokens, value size]`. */
  protected attend(projected: Projected, cache: AttentionCache | undefined): tf.Tensor4D {
    const {queries, keys, values} = projected;
    const {rope, depth} = this.options;
    return cachedAttention(queries, keys, values, {cache, depth, rope, ...this.scoring, layer: this});
  }

  /** How this layer makes scores. */
  protected get scoring(): Scoring {
    this.plainScoring ??= scoringOf(this.options, this.headDim);
    if (this.relativeBias === undefined) return this.plainScoring;
    return {...this.plainScoring, relativeBias: this.relativeBias.read() as tf.Tensor2D};
  }

  private addNorm(side: 'query' | 'key', heads: number, size: number): void {
    const {qkNorm} = this.options;
    if (qkNorm === undefined) return;
    const gains = qkNorm === 'head' ? size : heads * size;
    this.norms[side] = this.addWeight(`${side}_norm`, [gains], 'float32', tf.initializers.ones());
  }

  private norm(side: 'query' | 'key'): HeadProjection['norm'] {
    const gain = this.norms[side]?.read();
    return gain && {gain, epsilon: this.options.qkNormEpsilon ?? 1e-6};
  }

  /** The dim of an uncompressed head. */
  protected get headDim(): number {
    if (this.uncompressedDim !== undefined) return this.uncompressedDim;
    throw new InvalidArgumentError(`Layer "${this.name}" is not built yet.`);
  }

  protected headSizes(): HeadSizes {
    const {headDim} = this;
    return {head: headDim, query: headDim, key: headDim, value: headDim};
  }

  /** Numbers that a cache stores per token and head. */
  protected storedSizes({key, value}: HeadSizes): Pick<LayerShape, 'dim' | 'dimV' | 'headDim'> {
    return {dim: key, dimV: value};
  }
}

/** Queries `[batch, heads, tokens, dim]`, keys and values `[batch, kvHeads, tokens, dim]`. */
export type Projected = Pick<FreshTokens, 'queries' | 'keys' | 'values'>;

function checkDistances(
  {numHeads, numKvHeads = numHeads, relativeDistances, ...others}: SelfAttentionArgs,
  layer: string,
): void {
  const {relativeBias} = others as ScoringOptions; // callers in plain JavaScript
  if (relativeBias !== undefined) {
    throw new InvalidArgumentError(
      `${layer}: relativeBias is no option of a layer, whose biases are a weight: give relativeDistances, and set the weight relative_bias.`,
    );
  }
  if (relativeDistances === undefined) return;
  positive(relativeDistances, 'relativeDistances', layer);
  if (numHeads === numKvHeads) return;
  throw new InvalidArgumentError(
    `${layer}: relativeDistances with numHeads = ${numHeads} and numKvHeads = ${numKvHeads}; both must be equal, for each query head has its own biases.`,
  );
}
