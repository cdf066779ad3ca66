import * as tf from '@tensorflow/tfjs';
import type {AttentionCache} from '../../cache/attention_cache.js';
import type {LayerShape} from '../../cache/binding/layer_shape.js';
import type {SourceCache} from '../../cache/source_cache.js';
import {InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {readableNumbers} from '../../ops/host_numbers.js';
import {cachedAttention} from '../cached_attention.js';
import {fromHeads} from '../heads.js';
import {type CallArgs, configOf, firstShape, knownDim} from '../layer_args.js';
import type {Projected} from '../self_attention.js';
import type {KerasAttentionOptions, KerasAttentionArgs} from './attention_args.js';
import {type AttentionCall, type GraphCall, type AttentionRole, readCall, resolveCall} from './call_roles.js';
import {maskedAttention} from './masked_attention.js';
import {KerasProjections, type KerasSizes} from './projections.js';
import {serialized} from './serialized_parts.js';

/** The tensors of a call. */
type Given = Readonly<Partial<Record<AttentionRole, tf.Tensor>>> &
  Readonly<Record<'query' | 'value' | 'key', tf.Tensor>>;

/**
 * What the attention layers of Keras share:
 *
 *     q, k, v = query W_q + b_q, key W_k + b_k, value W_v + b_v      out = (softmax(q k^T / sqrt(keyDim)) v) W_o + b_o
 *
 * Inputs are float32 `[batch, tokens, dim]`: the query, and value and key if they are other tensors. `useCausalMask` and `takes`, which names
 * the inputs, are keyword arguments of the call, which models save; see `readCall`. Weights have the names and shapes of Keras: `query/kernel`
 * `[dim, heads, keyDim]`, `query/bias` `[heads, keyDim]`, and so on, `attention_output/kernel` `[heads, valueDim, dim]`. In a graph, padding
 * masks of embeddings become inputs. Causal attention to its own input takes a cache.
 */
export abstract class KerasAttention extends tf.layers.Layer {
  /** The sizes of this layer in a cache; only of one that is applied causally to its own input. */
  declare readonly layerShape?: LayerShape;
  private readonly projections: KerasProjections;
  private graphCall: GraphCall | undefined;
  /** The last one outside of a graph. */
  private eagerCall: AttentionCall | undefined;
  private depth = 0;

  constructor(
    args: KerasAttentionArgs,
    protected readonly options: KerasAttentionOptions,
    readonly sizes: KerasSizes,
  ) {
    super(args);
    this.projections = new KerasProjections(options, sizes);
    this.supportsMasking = true; // Keras passes the query's mask on
  }

  /** How this layer is applied in its model; undefined before. */
  get attentionCall(): AttentionCall | undefined {
    return this.graphCall?.call;
  }

  /** Whether this layer's output is more than what attention and its projection say. */
  get isGated(): boolean {
    return this.options.useGate;
  }

  get slidingWindow(): number | undefined {
    return this.options.slidingWindow;
  }

  /** Called by a cache of the model: this layer's place among its attention layers. */
  placeAt(depth: number): void {
    this.depth = depth;
  }

  override apply(
    inputs: tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[],
    kwargs: CallArgs = {},
  ): tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[] {
    const given = [inputs].flat();
    const isSymbolic = (x: tf.Tensor | tf.SymbolicTensor): x is tf.SymbolicTensor =>
      x instanceof tf.SymbolicTensor;
    if (!given.every(isSymbolic)) {
      this.eagerCall = this.callOf(given.length, kwargs);
      return super.apply(inputs, kwargs);
    }
    const resolved = resolveCall(given, kwargs, this);
    this.useIn(resolved);
    const tensors = [...resolved.inputs];
    return super.apply(tensors.length === 1 ? tensors[0]! : tensors, {...resolved.call});
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const shapes = (Array.isArray(inputShape[0]) ? inputShape : [inputShape]) as tf.Shape[];
    const {takes} = this.graphCall?.call ?? this.eagerCall ?? readCall(shapes.length, {}, this.name);
    const dimOf = (role: AttentionRole) =>
      knownDim(shapes[takes.findIndex(ofInput => ofInput.includes(role))]!, this.name);
    this.projections.addTo(
      (name, shape, {initializer, regularizer, constraint}) =>
        this.addWeight(name, shape, 'float32', initializer, regularizer, true, constraint),
      {query: dimOf('query'), value: dimOf('value'), key: dimOf('key')},
    );
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const {given, call} = this.read([inputs].flat(), kwargs);
      const {query, value, key} = given;
      const {projections} = this;
      const queries = projections.queries(query);
      const attended =
        kwargs.source !== undefined && value !== query
          ? this.attendToSource(queries, given, call, kwargs.source)
          : this.attend({queries, ...projections.keysAndValues(key, value)}, given, call, kwargs);
      return fromHeads(projections.gated(attended, query), projections.of('attention_output'));
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    const shape = firstShape(inputShape);
    return [...shape.slice(0, -1), this.sizes.outputDim ?? shape.at(-1)!];
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {dropout, useBias, useGate, slidingWindow, seed, kernel, bias} = this.options;
    return {
      ...super.getConfig(),
      ...configOf({
        ...{dropout, useBias, useGate, slidingWindow, seed},
        kernelInitializer: serialized(kernel.initializer),
        biasInitializer: serialized(bias.initializer),
        kernelRegularizer: serialized(kernel.regularizer),
        biasRegularizer: serialized(bias.regularizer),
        kernelConstraint: serialized(kernel.constraint),
        biasConstraint: serialized(bias.constraint),
      }),
    };
  }

  /** @throws ModelError if the layer is applied in another way elsewhere. */
  private useIn(resolved: GraphCall): void {
    const before = this.graphCall && shown(this.graphCall.call);
    const now = shown(resolved.call);
    if (before !== undefined && before !== now) {
      throw new ModelError(
        `Layer "${this.name}" is applied as ${before} and as ${now}, and tfjs does not say which application it computes. Use one layer per way.`,
      );
    }
    this.graphCall = resolved;
    if (!takesCache(resolved.call)) return;
    const {heads, kvHeads, keyDim: dim, valueDim: dimV} = this.sizes;
    const get = (): LayerShape => ({depth: this.depth, heads, kvHeads, dim, dimV});
    Object.defineProperty(this, 'layerShape', {get, configurable: true});
  }

  /** Attention to another text, whose keys and values are computed in the first step. */
  private attendToSource(
    queries: tf.Tensor4D,
    given: Given,
    {useCausalMask}: AttentionCall,
    source: SourceCache,
  ): tf.Tensor4D {
    const {value, key, valueMask, keyMask, attentionMask} = given;
    if (useCausalMask || attentionMask !== undefined || this.options.slidingWindow !== undefined) {
      throw new ModelError(
        `Layer "${this.name}" has ${attentionMask === undefined ? 'a causal mask or a window' : 'an attention mask'} and a source; queries see all of a ` +
          'source but padding. Call it without {source}.',
      );
    }
    const masks = [...new Set([valueMask, keyMask])].filter(mask => mask !== undefined);
    return source.attend(this, queries, {
      size: [value.shape[0], value.shape[1]!],
      scale: 1 / Math.sqrt(this.sizes.keyDim),
      project: () => ({
        ...this.projections.keysAndValues(key, value),
        mask:
          masks.length === 0
            ? undefined
            : masks.map(mask => tf.cast(mask, 'float32')).reduce((a, b) => tf.mul(a, b)),
      }),
    });
  }

  private callOf(inputs: number, kwargs: CallArgs): AttentionCall {
    const {takes, useCausalMask} = this.graphCall?.call ?? {};
    return readCall(
      inputs,
      {
        ...kwargs,
        takes: kwargs['takes'] ?? takes,
        useCausalMask: kwargs['useCausalMask'] ?? useCausalMask,
      },
      this.name,
    );
  }

  private read(inputs: readonly tf.Tensor[], kwargs: CallArgs): {given: Given; call: AttentionCall} {
    const {graphCall, name} = this;
    const call = this.callOf(inputs.length, kwargs);
    const stray = Object.keys(kwargs).find(
      key => /mask/i.test(key) && key !== 'useCausalMask' && key !== 'mask' && Boolean(kwargs[key]),
    );
    const isUnknown = kwargs.mask !== null && kwargs.mask !== undefined && graphCall?.masksOutside !== false;
    if (stray !== undefined || (isUnknown && !call.takes.flat().includes('queryMask'))) {
      throw new InvalidArgumentError(
        `Layer "${name}" got a mask as the keyword argument ${stray ?? 'mask'}. Masks are inputs here, named by takes: ` +
          "apply([x, mask], {takes: ['query', 'queryMask']}). A model inside another one cannot see masks of the outer one: embed " +
          'inside it, without mask_zero outside.',
      );
    }
    const tensors = call.takes.flatMap((ofInput, i) => ofInput.map(role => [role, inputs[i]!] as const));
    return {given: Object.fromEntries(tensors) as unknown as Given, call};
  }

  private attend(projected: Projected, given: Given, call: AttentionCall, kwargs: CallArgs): tf.Tensor4D {
    const {queries, keys, values} = projected;
    const {dropout, seed, slidingWindow: window} = this.options;
    const {queryMask, valueMask, keyMask, attentionMask} = given;
    const {useCausalMask: isCausal} = call;
    if (kwargs.cache !== undefined) return this.attendWithCache(projected, given, call, kwargs, kwargs.cache);
    const drops = kwargs['training'] === true ? dropout : 0;
    const isPlain = takesCache(call) && drops === 0 && call.takes.length === 1;
    if (isPlain) return cachedAttention(queries, keys, values, {window});
    const keyMasks = [valueMask, keyMask].filter(mask => mask !== undefined);
    return maskedAttention(queries, keys, values, {
      visibility: {isCausal, window, queries: queryMask, keys: keyMasks, pairs: attentionMask},
      scale: 1 / Math.sqrt(this.sizes.keyDim),
      dropout: drops,
      seed,
    });
  }

  private attendWithCache(
    projected: Projected,
    {queryMask, valueMask}: Given,
    call: AttentionCall,
    kwargs: CallArgs,
    cache: AttentionCache,
  ): tf.Tensor4D {
    if (!takesCache(call)) {
      throw new ModelError(
        `Layer "${this.name}" (${this.getClassName()}) is called as ${shown(call)}; only causal attention to its own input takes a cache.`,
      );
    }
    if (kwargs['training'] === true) {
      throw new InvalidArgumentError(
        `Layer "${this.name}" got {training: true} with a cache, which has no dropout and no gradient; leave one of them out.`,
      );
    }
    for (const mask of [queryMask, valueMask]) if (mask !== undefined) this.refusePadding(mask);
    return cache.attend(this.depth, {...projected, window: this.options.slidingWindow, layer: this});
  }

  private refusePadding(mask: tf.Tensor): void {
    const numbers = readableNumbers(mask);
    if (numbers?.every(Boolean) === true) return;
    throw new InvalidArgumentError(
      `Layer "${this.name}" got ${numbers === undefined ? `a padding mask, which ${tf.getBackend()} cannot be read for,` : 'padding'} with a cache, ` +
        'which would keep it as tokens of the text. Give texts one at a time or of equal length. A model whose texts never have padding is ' +
        'loaded with loadKerasModel(model, {maskZero: false}).',
    );
  }
}

/** Whether attention is causal and to the layer's own input, padding aside. */
const takesCache = ({takes, useCausalMask}: AttentionCall) =>
  useCausalMask && takes[0]!.length === 3 && !takes.flat().includes('attentionMask');
