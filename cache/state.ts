import type {CacheableModel, LayerShape} from './binding/layer_shape.js';
import {attentionLayers} from './binding/attention_layers.js';
import {Leases} from './binding/lease.js';
import {ModelBinding} from './binding/model_binding.js';
import {specOf} from '../base/options.js';
import type {Context, Policy} from './contract.js';
import type {Past} from './past/past.js';
import {releasePast} from './past/past_tensors.js';
import {type RopeTables, RopeTableSet} from './past/rope_tables.js';

/** How the tokens of one depth came in. */
export interface Seen {
  /** Factor of the scores. */
  readonly scale: number;
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables;
}

/**
 * All that a cache is. `KVCache` attends over it; plans, forks, cuts and snapshots are functions over it in rooms of their own. It owns
 * the tensors of its pasts, and frees what `replace` leaves out.
 */
export class CacheState {
  readonly shapes: readonly LayerShape[];
  readonly binding: ModelBinding;
  readonly leases = new Leases();
  readonly ropes = new RopeTableSet();
  /** By depth; undefined if no token came in. */
  readonly pasts: (Past | undefined)[];
  readonly seen: (Seen | undefined)[];

  constructor(
    readonly model: CacheableModel | readonly LayerShape[],
    public policies: readonly Policy[],
    readonly expectedTokens: number | undefined,
    readonly beyondContext: boolean,
    layers = attentionLayers(model),
  ) {
    this.shapes = layers.map(({row}) => row);
    this.binding = new ModelBinding(model, layers);
    this.pasts = layers.map(() => undefined);
    this.seen = layers.map(() => undefined);
  }

  /** Tokens that came into each depth. */
  get tokensOfDepths(): number[] {
    return this.pasts.map(past => past?.tokensSeen ?? 0);
  }

  /** What two caches have in common that can go on from each other's tokens: sizes and policies, as text. */
  get signature(): string {
    const shapes = this.shapes.map(shape => ({...shape, policy: undefined}));
    return JSON.stringify([shapes, this.policies.map(specOf)]);
  }

  /** What a policy may know of one depth. */
  context(depth: number, {scale, rope}: Seen): Context {
    const {expectedTokens} = this;
    return {depth, depths: this.shapes.length, scale, rope, expectedTokens};
  }

  /** One depth has another past from now on; frees what of the former one is not in it. */
  replace(depth: number, next: Past | undefined): void {
    const former = this.pasts[depth];
    this.pasts[depth] = next;
    if (former !== undefined) releasePast(former, next);
  }

  /** Frees all tokens. */
  forget(): void {
    this.pasts.forEach((_, depth) => this.replace(depth, undefined));
  }
}
