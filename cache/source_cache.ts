/// <reference lib="esnext.disposable" preserve="true" />
import * as tf from '@tensorflow/tfjs';
import {disposeSymbol} from '../base/dispose_symbol.js';
import {CacheStateError, InvalidArgumentError} from '../base/errors.js';
import {type AttendedSegment, attendSegments} from '../ops/attention/attend/segments.js';
import {expectMovable} from '../ops/backends/residence.js';
import {headsOf} from '../ops/encodings/encoding.js';
import type {Context, Policy} from './contract.js';
import {keepAndStore} from './past/keep_and_store.js';
import {type Past, type Segment, noEvents, pastBytes, segmentsOf} from './past/past.js';
import {kept, releasePast} from './past/past_tensors.js';
import {appendDense} from './past/segments.js';
import {type PolicyLike, asPolicy, checkPolicy} from './policies/as_policy.js';

/** Keys and values of a text that is attended to whole. */
export interface SourceTokens {
  /** float32 `[batch, kvHeads, tokens, dim]`, as attention multiplies queries by them. */
  readonly keys: tf.Tensor4D;
  /** float32 `[batch, kvHeads, tokens, dimV]`. */
  readonly values: tf.Tensor4D;
  /** `[batch, tokens]`: 1 or true for tokens that count, 0 or false for padding. Default: all count. */
  readonly mask?: tf.Tensor | undefined;
}

/** One layer's attention to a source. */
export interface SourceAttention {
  /** Batch and tokens of the source as it was given in this step. */
  readonly size: readonly [batch: number, tokens: number];
  /** Computes keys and values; called in the first step only. */
  readonly project: () => SourceTokens;
  /** Factor of the scores. Default 1 / sqrt(dim). */
  readonly scale?: number;
}

/** What one layer attends to, as it is stored. */
interface Source {
  readonly past: Past;
  readonly mask: tf.Tensor | undefined;
  /** The dataId of each weight of the layer when keys and values were computed. */
  readonly weights: readonly object[];
}

/**
 * The keys and values that cross attention reads: those of an encoder's output, computed once by each layer and stored by a policy.
 *
 *     using source = new SourceCache('quantized:bits=8');   // one for each text that is attended to
 *     decoder.apply([encoded, ids], {cache, source});       // and again with the next ids
 *
 * Each query sees every token but padding. From the first step on they are read as they are stored, so that steps do not matter. The first
 * step with another text needs `reset()` or another object: what is given as the source later is not looked at, but for its size.
 * As with a `KVCache`, only `dispose` (or `using`) frees it.
 */
export class SourceCache {
  readonly #policy: Policy;
  readonly #sources = new Map<object, Source>();

  /**
   * @param policy how keys and values are stored: `full()` (the default), `quantized`, `float8` and others that keep every token.
   * @throws InvalidArgumentError if it evicts tokens, needs to know the model, or cannot be read.
   */
  constructor(policy: PolicyLike = 'full') {
    this.#policy = asPolicy(policy);
    const {name, keep, store} = this.#policy;
    if (keep.budget === undefined && store.forModel === undefined) return;
    throw new InvalidArgumentError(
      `A SourceCache cannot be stored by ${name}, which ${store.forModel === undefined ? 'evicts tokens by their scores' : 'is made for the layers of one model'}. ` +
        'Use full, quantized, float8 or another policy that keeps every token.',
    );
  }

  /** Tokens of the source, padding included; 0 before the first step. */
  get tokens(): number {
    const [first] = this.#sources.values();
    return first?.past.tokensSeen ?? 0;
  }

  /** Bytes of all keys and values as they are stored. */
  get byteSize(): number {
    const bytesOf = ({past, mask}: Source) => pastBytes(past) + 4 * (mask?.size ?? 0);
    return [...this.#sources.values()].reduce((sum, source) => sum + bytesOf(source), 0);
  }

  /**
   * Attention of queries over the source of a layer:
   *
   *     softmax(scale q k^T) v    over all tokens of the source that are no padding
   *
   * @param layer whose source it is: `this` in a layer.
   * @param queries float32 `[batch, heads, tokens, dim]`; heads is a multiple of kvHeads.
   * @param source what is attended to, and how.
   * @returns float32 `[batch, heads, tokens, dimV]`.
   * @throws InvalidArgumentError if the size is another than in the first step; CacheStateError if the layer's weights changed since.
   */
  attend(
    layer: object,
    queries: tf.Tensor4D,
    {size, project, scale = 1 / Math.sqrt(queries.shape[3])}: SourceAttention,
  ): tf.Tensor4D {
    const source = this.#decided(layer, scale) ?? this.#store(layer, project, scale);
    const [batch, tokens] = size;
    const {past, mask} = source;
    expectMovable(past.recent.keys.data);
    if (past.tokensSeen !== tokens || past.recent.keys.data.shape[0] !== batch) {
      throw new InvalidArgumentError(
        `This SourceCache holds a batch of ${past.recent.keys.data.shape[0]} texts of ${past.tokensSeen} tokens, but the source is ${batch} texts of ` +
          `${tokens}: reset() it or make another for each source.`,
      );
    }
    if (weightsOf(layer).some((dataId, i) => dataId !== source.weights[i])) {
      throw new CacheStateError(
        'The weights of a layer changed since its keys and values were computed for this SourceCache: reset() it.',
      );
    }
    return tf.tidy(() => {
      const segments = segmentsOf(past).map(segment => attended(segment, scale, mask));
      return attendSegments(queries, segments);
    });
  }

  /** Frees all keys and values, for another source. */
  reset(): void {
    for (const {past, mask} of this.#sources.values()) {
      releasePast(past);
      mask?.dispose();
    }
    this.#sources.clear();
  }

  /** Frees all keys and values. */
  dispose(): void {
    this.reset();
  }

  [disposeSymbol](): void {
    this.dispose();
  }

  /** What is known of a layer; its tokens are stored now if the codec waited for numbers that have come. */
  #decided(layer: object, scale: number): Source | undefined {
    const source = this.#sources.get(layer);
    if (source?.past.undecided === undefined) return source;
    const {past} = tf.tidy(() =>
      kept({past: keepAndStore(this.#policy, source.past, contextOf(source.past, scale))}),
    );
    releasePast(source.past, past);
    const decided = {...source, past};
    this.#sources.set(layer, decided);
    return decided;
  }

  #store(layer: object, project: () => SourceTokens, scale: number): Source {
    let made: Source | undefined;
    tf.tidy(() => {
      const {keys, values, mask} = project();
      const [, kvHeads, tokens, dim] = keys.shape;
      checkPolicy(this.#policy, {kvHeads, dim, dimV: values.shape[3]});
      const recent = appendDense(undefined, keys, values, 0, tokens);
      const whole: Past = {held: {}, events: noEvents, recent, tokensSeen: tokens};
      const past = keepAndStore(this.#policy, whole, contextOf(whole, scale));
      made = {
        past: kept({past}).past,
        mask: mask && tf.keep(tf.cast(mask, 'float32')),
        weights: weightsOf(layer),
      };
    });
    this.#sources.set(layer, made!);
    return made!;
  }
}

const contextOf = ({tokensSeen}: Past, scale: number): Context => ({
  ...{depth: 0, depths: 1, scale, expectedTokens: tokensSeen},
});

const weightsOf = (layer: object) =>
  layer instanceof tf.layers.Layer ? layer.weights.map(variable => variable.read().dataId) : [];

/** A segment that every query sees, but for padding. */
function attended(
  {keys, values, tokens, positions, bias}: Segment,
  scale: number,
  mask: tf.Tensor | undefined,
): AttendedSegment {
  if (mask === undefined) return {keys, values, tokens, scale, ...(bias && {bias})};
  if (typeof positions !== 'number' || bias !== undefined) {
    throw new InvalidArgumentError(
      'The source has padding, and its policy moves tokens: use full, quantized or float8, or sources without padding.',
    );
  }
  const ofTokens = tf.reshape<tf.Rank.R4>(tf.slice(mask, [0, positions], [-1, tokens]), [-1, 1, tokens, 1]);
  const hidden = tf.mul<tf.Tensor4D>(tf.sub(ofTokens, 1), 1e9); // finite: a segment of padding alone must not become NaN
  return {keys, values, tokens, scale, bias: tf.tile<tf.Tensor4D>(hidden, [1, headsOf(keys).kvHeads, 1, 1])};
}
