import type * as tf from '@tensorflow/tfjs';
import type {CacheableModel, LayerShape} from './binding/layer_shape.js';
import {attentionLayers} from './binding/attention_layers.js';
import {Leases} from './binding/lease.js';
import {ModelBinding} from './binding/model_binding.js';
import {outputMetricOf} from './binding/output_metric.js';
import {specOf} from '../base/options.js';
import type {Context, Policy} from './contract.js';
import type {Scoring} from '../ops/attention/scoring.js';
import type {FreshTokens} from './past/fresh_tokens.js';
import type {Past} from './past/past.js';
import {releasePast} from './past/past_tensors.js';
import {type RopeTables, RopeTableSet} from './past/rope_tables.js';

/** How one depth attends its tokens, but for what its past holds. */
export interface Seen extends Omit<Scoring, 'relativeBias'> {
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables | undefined;
  /** What rebuilds keys from latents; weights of the layer. Absent if keys are no latents, or if no step was taken since the cache was restored. */
  readonly latents?: Latents | undefined;
}

/** See `FreshTokens`. */
export interface Latents extends Pick<FreshTokens, 'keyBasis' | 'keyMean'> {
  readonly rope?: RopeTables | undefined;
}

/**
 * The state of a cache. `KVCache` attends over it; plans, forks, truncation and snapshots are functions over it in their own folders.
 * It owns the tensors of its pasts; `replace` frees those that the next past no longer holds.
 */
export class CacheState {
  readonly shapes: readonly LayerShape[];
  readonly binding: ModelBinding;
  readonly leases = new Leases();
  readonly ropes = new RopeTableSet();
  /** By depth: the output metrics that keepers asked for, which belong to the layers. */
  readonly outputMetrics = new Map<number, tf.Tensor3D>();
  /** The past of each depth; undefined if the depth has seen no token. */
  readonly pasts: (Past | undefined)[];
  /** By depth; undefined if the depth has seen no token. */
  readonly seen: (Seen | undefined)[];
  /** Whether the cache was disposed of and not used again since. */
  isDisposed = false;

  constructor(
    readonly model: CacheableModel | readonly LayerShape[],
    public policies: readonly Policy[],
    readonly expectedTokens: number | undefined,
    readonly beyondContext: boolean,
    layers = attentionLayers(model),
  ) {
    this.shapes = layers.map(({shape}) => shape);
    this.binding = new ModelBinding(model, layers);
    this.pasts = layers.map(() => undefined);
    this.seen = layers.map(() => undefined);
  }

  /** Tokens that passed through all layers. */
  get tokens(): number {
    let least = Infinity; // a loop: layers ask for it at each step
    for (const past of this.pasts) least = Math.min(least, past?.tokensSeen ?? 0);
    return least;
  }

  /** A sentence for messages about missing tokens: that they went with `dispose`. Empty if they did not. */
  get disposedNote(): string {
    return this.isDisposed ? ' It was disposed of, and its tokens with it.' : '';
  }

  /** Tokens that each depth has seen. */
  get tokensOfDepths(): number[] {
    return this.pasts.map(past => past?.tokensSeen ?? 0);
  }

  /** Layer shapes, policies and the digests of their tables as JSON text. Caches with equal signatures can continue from each other's tokens. */
  get signature(): string {
    const shapes = this.shapes.map(shape => ({...shape, policy: undefined}));
    return JSON.stringify([shapes, this.policies.map(specOf), this.policies.map(({store}) => store.tables)]);
  }

  /** Returns what a policy may know of one depth. */
  context(depth: number, {latents, ...seen}: Seen): Context {
    const {expectedTokens} = this;
    return {depth, depths: this.shapes.length, ...seen, expectedTokens};
  }

  /** Returns the function that computes the output metric of a layer; undefined if it has none. See `Candidates.outputMetric`. */
  outputMetricOf(depth: number, layer: object | undefined): (() => tf.Tensor3D) | undefined {
    const metric = outputMetricOf(layer);
    if (metric === undefined) return undefined;
    return () => {
      const matrices = metric();
      this.outputMetrics.set(depth, matrices);
      return matrices;
    };
  }

  /** Sets the past of one depth. Frees the tensors of the former past that the next one does not hold. */
  replace(depth: number, next: Past | undefined): void {
    const former = this.pasts[depth];
    this.pasts[depth] = next;
    if (next !== undefined) this.isDisposed = false;
    if (former !== undefined) releasePast(former, next);
  }

  /** Frees all tokens of all depths. */
  forget(): void {
    this.pasts.forEach((_, depth) => this.replace(depth, undefined));
  }
}
