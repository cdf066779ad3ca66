import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {expectMovable} from '../ops/backends/residence.js';
import {CacheStateError, InvalidArgumentError} from '../base/errors.js';
import {rotate} from '../ops/rotate/index.js';
import type {AttentionCache} from './attention_cache.js';
import {attentionLayers, layerShapes} from './binding/attention_layers.js';
import {type LayerShape, type CacheableModel, planOfLayers} from './binding/layer_shape.js';
import {type PlanChange, planChange, reencoded} from './plans/change_plan.js';
import {type DepthReport, depthReport} from './watch/depth_report.js';
import {modelFingerprint} from './binding/fingerprint.js';
import {type FreshTokens, checkFresh, latentKeysOf} from './past/fresh_tokens.js';
import {type CacheLease, Leases} from './binding/lease.js';
import {ModelBinding} from './binding/model_binding.js';
import {atLeast, checkOptions} from '../base/options.js';
import type {Past} from './past/past.js';
import {kept, releasePast, sharePast, stillHeld} from './past/past_tensors.js';
import {type Plan, type PolicyLike, specOf} from './plans/plan.js';
import {asPlan, perDepth} from './plans/index.js';
import {policiesOf} from './plans/policies_of.js';
import {type Context, type Policy, step} from './policy.js';
import {type RopeTables, RopeTableSet} from './past/rope_tables.js';
import type {CacheState} from './snapshot/cache_state.js';
import {checkSameModel, checkSamePolicies} from './snapshot/check_same.js';
import {openSnapshot} from './snapshot/read_snapshot.js';
import {writeSnapshot} from './snapshot/write_snapshot.js';
import {tokensBefore, truncated} from './sharing/truncate.js';
import {checkStep, expectWholeStep, isWholeStep} from './past/whole_step.js';

export type {AttentionCache} from './attention_cache.js';
export type {LayerShape, CacheableModel} from './binding/layer_shape.js';
export type {PlanChange} from './plans/change_plan.js';
export type {DepthReport} from './watch/depth_report.js';
export type {FreshTokens} from './past/fresh_tokens.js';
export type {CacheLease} from './binding/lease.js';

export interface KVCacheOptions {
  /** Tokens to expect in all: buffers grow to this and no further. Longer texts work too. */
  readonly expectedTokens?: number;
  /**
   * Let rotary models go on behind their context, which they refuse else. For policies that keep a budget: numbers stay
   * defined at any position, but nothing was trained there. Default false.
   */
  readonly beyondContext?: boolean;
}

const optionsSchema = v.strictObject({
  expectedTokens: v.optional(atLeast(0)),
  beyondContext: v.optional(v.boolean('expected true or false'), false),
});

/**
 * The past of a whole model: one policy and one `Past` per depth. The only place that keeps and disposes tensors.
 *
 *     const cache = new KVCache(model, uniform(quantized({bits: 8})));
 *     const logits = model.apply(ids, {cache});   // and again with the next ids
 *     cache.dispose();
 *
 * Give it to `model.apply`: `model.predict` takes no keyword arguments, and tfjs drops a cache that is given to it without a word.
 * `dispose` alone frees it: `tf.dispose` and `tf.tidy` see none of its tensors (all fields are private ones of JavaScript, as
 * tfjs frees whatever it finds in an object, the model's weights too).
 */
export class KVCache implements AttentionCache {
  readonly #model: CacheableModel | readonly LayerShape[];
  readonly #rows: readonly LayerShape[];
  readonly #binding: ModelBinding;
  readonly #leases = new Leases();
  readonly #beyondContext: boolean;
  #policies: readonly Policy[];
  readonly #pasts: (Past | undefined)[];
  /** How the tokens of each depth came in. */
  #seen: {readonly scale: number; readonly rope?: RopeTables}[] = [];
  readonly #ropes = new RopeTableSet();
  readonly #expectedTokens: number | undefined;

  /**
   * @param model the model whose past this is, or its `LayerShape`s.
   * @param plan which policy stands where; a single policy stands everywhere. Default: what the layers ask for, `full()` else.
   * @throws InvalidArgumentError where the model has no attention layer that knows caches, or applies one more than once; where
   *   the plan is none.
   */
  constructor(
    model: CacheableModel | readonly LayerShape[],
    plan?: Plan | PolicyLike,
    options: KVCacheOptions = {},
  ) {
    const {expectedTokens, beyondContext} = checkOptions('KVCache', optionsSchema, options);
    const layers = attentionLayers(model);
    this.#model = model;
    this.#rows = layers.map(({row}) => row);
    this.#binding = new ModelBinding(model, layers);
    this.#policies = policiesOf(asPlan(plan ?? planOfLayers(this.#rows)), this.#rows);
    this.#pasts = this.#rows.map(() => undefined);
    this.#expectedTokens = expectedTokens;
    this.#beyondContext = beyondContext;
  }

  /** The model whose past this is, or its rows, as it was given. */
  get model(): CacheableModel | readonly LayerShape[] {
    return this.#model;
  }

  /** See `KVCacheOptions`. */
  get beyondContext(): boolean {
    return this.#beyondContext;
  }

  /** Tokens that went through the whole model: the position of the next one. */
  get tokens(): number {
    return Math.min(...this.#tokensOfDepths());
  }

  /** Tokens that came into one depth. */
  tokensSeen(depth: number): number {
    return this.#pasts[depth]?.tokensSeen ?? 0;
  }

  /** How one depth's past lies: for inspection; its tensors stay the cache's. */
  past(depth: number): Past | undefined {
    return this.#pasts[depth];
  }

  /** True bytes of all that is kept: codes, scales, positions, spare room of all depths, and what the depths share. */
  get byteSize(): number {
    return this.report().reduce((sum, {byteSize}) => sum + byteSize, this.sharedBytes);
  }

  /** Of `byteSize`, what no depth has alone: tables of rotary positions, where stored keys are rotated as they are attended. */
  get sharedBytes(): number {
    return this.#ropes.byteSize;
  }

  /** One row per depth. */
  report(): DepthReport[] {
    return this.#rows.map((row, depth) => depthReport(row, this.#policies[depth]!.name, this.#pasts[depth]));
  }

  /**
   * Attention of fresh tokens over everything that this depth holds, themselves included (causally), and the tokens'
   * way into the past. Called by attention layers.
   *
   * @returns float32 `[batch, heads, tokens, dimV]`.
   * @throws InvalidArgumentError where shapes do not fit the model or the past, or the layer is another model's, or what a policy
   *   throws: this depth is as before then. CacheStateError where the step before did not reach all depths, the model's weights
   *   changed since the first token, or a generation uses this cache.
   */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const policy = this.#policies[depth];
    if (policy === undefined) {
      throw new InvalidArgumentError(
        `This cache has the depths 0 to ${this.#rows.length - 1}; there is no depth ${depth}.`,
      );
    }
    const past = this.#pasts[depth];
    this.#leases.expectFree('another step');
    if (past === undefined) this.#binding.checkFirstLayer(depth, fresh.layer);
    else this.#binding.checkLayer(depth, fresh.layer);
    if (past !== undefined) expectMovable(past.recent.keys.data);
    checkFresh(depth, this.#rows[depth]!, fresh, past);
    const seen = this.#tokensOfDepths();
    checkStep(seen, depth, fresh.queries.shape[2]);
    if (past !== undefined && isWholeStep(seen)) this.#binding.checkWeights();
    try {
      const output = this.#step(policy, depth, fresh);
      seen[depth] = this.tokensSeen(depth);
      return output;
    } finally {
      if (isWholeStep(seen)) this.#ropes.forgetLatest(); // the next step is at other positions
    }
  }

  #step(policy: Policy, depth: number, fresh: FreshTokens): tf.Tensor4D {
    const past = this.#pasts[depth];
    const {queries, keys, values, rope: config, keyBasis} = fresh;
    const dim = queries.shape[3];
    const rope = config && this.#ropes.of(config, dim);
    const rotates = keyBasis === undefined ? rope : undefined; // of the keys that are stored
    const scale = fresh.scale ?? 1 / Math.sqrt(dim);
    const {output, past: next} = tf.tidy(() => {
      const rotation = rope?.rotation(past?.tokensSeen ?? 0, queries.shape[2]);
      const rotated = {
        queries: rotation ? rotate(queries, rotation) : queries,
        keys: rotation && rotates ? rotate(keys, rotation) : keys,
        values,
      };
      const latentKeys = latentKeysOf(fresh, rope);
      return kept(
        step(policy, past, rotated, {
          ...this.#contextOf(depth, scale, rotates),
          window: fresh.window,
          latentKeys,
        }),
      );
    });
    if (past === undefined) this.#binding.bind(depth, fresh.layer);
    this.#seen[depth] = {scale, rope: rotates};
    this.#replace(depth, next);
    return output;
  }

  /**
   * Another plan from now on, for the tokens that are there as well: they are decoded and encoded once more. What was
   * lost stays lost: evicted tokens, and the precision that the former codec took. Policies that go by attention
   * (`h2o`, `lru`, `lfu`, `adaptive`) compress with the next tokens.
   *
   * @returns what happened at each depth whose policy changed.
   * @throws InvalidArgumentError where the plan does not fit the model; the cache is as before then. What a policy throws: the
   *   depths before have changed then, and this one and those behind it have not.
   */
  async setPlan(plan: Plan | PolicyLike): Promise<PlanChange[]> {
    this.#leases.expectFree('setPlan');
    const policies = policiesOf(asPlan(plan), this.#rows);
    const changes: PlanChange[] = [];
    for (const [depth, policy] of policies.entries()) {
      const former = this.#policies[depth]!;
      if (JSON.stringify(specOf(policy)) === JSON.stringify(specOf(former))) continue;
      const past = this.#pasts[depth];
      if (past !== undefined) await this.#reencode(depth, past, policy);
      this.#policies = this.#policies.map((old, at) => (at === depth ? policy : old));
      changes.push(planChange(depth, former, policy, past));
    }
    return changes;
  }

  async #reencode(depth: number, past: Past, policy: Policy): Promise<void> {
    const {scale, rope} = this.#seen[depth]!;
    const context = this.#contextOf(depth, scale, rope);
    const {opened, next} = await reencoded(past, policy, context, () => this.#pasts[depth] === past);
    this.#replace(depth, opened);
    this.#replace(depth, next); // frees what the policy did not take over
  }

  /**
   * Takes this cache for several steps, as a generation does: until its end every other step, and what else changes the cache
   * (`setPlan`, `truncate`, `continueFrom`, `reset`, `dispose`), is a CacheStateError. Looking at it, `fork` and `save` are free.
   *
   *     const lease = cache.lease('my loop');
   *     try {
   *       const logits = lease.run(() => model.apply(ids, {cache}));
   *     } finally {
   *       lease.end();
   *     }
   *
   * @param holder who takes it, as errors say it.
   * @throws CacheStateError where it is taken.
   */
  lease(holder: string): CacheLease {
    return this.#leases.take(holder);
  }

  /**
   * Another cache of the same tokens, which goes on by itself. Nothing is copied: both share their tensors, until one of
   * them goes where it needs others. Of a buffer that both write on, the first one takes the room and the second one a copy.
   *
   * @throws CacheStateError where a step ended in its middle.
   */
  fork(): KVCache {
    const expectedTokens = this.#expectedTokens;
    const fork = new KVCache(this.#model, perDepth(this.#policies), {
      beyondContext: this.#beyondContext,
      expectedTokens,
    });
    fork.continueFrom(this);
    return fork;
  }

  /**
   * Forgets its own tokens and goes on from those of another cache, as `fork` does; its options stay.
   *
   * @throws InvalidArgumentError where the other one is of other sizes, policies or another model, CacheStateError where a step of
   *   it ended in its middle; the cache is as before then.
   */
  continueFrom(other: KVCache): void {
    this.#leases.expectFree('continueFrom');
    if (other === this) return;
    if (this.signature !== other.signature) {
      throw new InvalidArgumentError(
        'These two caches have other sizes or policies; make one with the model and the plan of the other.',
      );
    }
    expectWholeStep(other.#tokensOfDepths());
    this.#binding.bindAs(other.#binding);
    this.#forget();
    this.#seen = other.#seen.map(({scale, rope}) => ({
      scale,
      ...(rope && {rope: this.#ropes.of(rope.config, rope.dim)}),
    }));
    for (const [depth, past] of other.#pasts.entries()) {
      if (past !== undefined) sharePast(past);
      this.#pasts[depth] = past;
    }
  }

  /** What two caches have in common that can go on from each other's tokens: sizes and policies, as text. */
  get signature(): string {
    return JSON.stringify([this.#rows.map(row => ({...row, policy: undefined})), this.#policies.map(specOf)]);
  }

  /**
   * Keeps the first `tokens` tokens only, as they are stored now; what a codec lost of them stays lost.
   *
   * @throws InvalidArgumentError where there are fewer; CacheStateError where a policy evicted tokens, or folded later ones
   *   into what it stores of them: the message names the policy. The cache is as before then.
   */
  async truncate(tokens: number): Promise<void> {
    this.#leases.expectFree('truncate');
    if (!Number.isInteger(tokens) || tokens < 0 || tokens > this.tokens) {
      throw new InvalidArgumentError(
        `truncate(${tokens}): expected a whole number from 0 to the ${this.tokens} tokens that there are.`,
      );
    }
    if (tokens === 0) {
      this.reset();
      return;
    }
    const former = this.#pasts.map(past => past!);
    const before = await Promise.all(
      former.map((past, depth) =>
        past.tokensSeen === tokens
          ? Promise.resolve([])
          : stillHeld(past, () => tokensBefore(past, tokens, this.#policies[depth]!)),
      ),
    );
    if (former.some((past, depth) => past !== this.#pasts[depth])) {
      throw new CacheStateError(
        'This cache went on while it was to be truncated; await the one, then do the other.',
      );
    }
    const pasts: Past[] = [];
    tf.tidy(() => {
      for (const [depth, past] of former.entries()) {
        pasts.push(truncated(past, tokens, before[depth]!, this.#policies[depth]!, this.#seen[depth]!.rope));
      }
      for (const past of pasts) kept({past});
    });
    pasts.forEach((past, depth) => this.#replace(depth, past));
  }

  /**
   * The cache as the bytes of a safetensors file, whose format docs/SNAPSHOTS.md describes. It may go on meanwhile: what is
   * saved is what it holds now. Beside the bytes one tensor of the cache, and its copy without spare room, is in the host's memory at a time.
   *
   * @throws CacheStateError where a step ended in its middle, or the model's weights changed since its first token came.
   */
  async save(): Promise<Uint8Array> {
    const still = this.fork();
    try {
      const fingerprint = await modelFingerprint(this.#model);
      if (still.tokens > 0) still.#binding.checkWeights(); // those that the fingerprint is of
      return await writeSnapshot(still.#state(), fingerprint);
    } finally {
      still.dispose();
    }
  }

  /**
   * The cache that `save` wrote, which goes on as if it had never stopped, on any backend.
   *
   * @param model the one that it is of; or its rows, where sizes are all that can be compared.
   * @param plan makes policies that are not registered by name. Default: as saved.
   * @throws FormatError where bytes are no snapshot, damaged, or of another version; ModelError where they are of another
   *   model; InvalidArgumentError where the plan is another one, or a policy is not registered. Each says what differs.
   */
  static async restore(
    bytes: Uint8Array,
    model: CacheableModel | readonly LayerShape[],
    plan?: Plan | PolicyLike,
  ): Promise<KVCache> {
    const snapshot = await openSnapshot(bytes);
    checkSameModel(snapshot, layerShapes(model), await modelFingerprint(model));
    const {policies, expectedTokens, beyondContext} = snapshot.description;
    const cache = new KVCache(model, plan ?? perDepth(policies), {
      beyondContext,
      expectedTokens,
    });
    checkSamePolicies(snapshot, cache.#policies.map(specOf));
    tf.tidy(() => {
      for (const [depth, state] of snapshot.depths().entries()) {
        if (state === undefined) continue;
        const {past, scale, rope} = state;
        cache.#seen[depth] = {scale, ...(rope && {rope: cache.#ropes.of(rope, cache.#rows[depth]!.dim)})};
        cache.#pasts[depth] = kept({past}).past;
        cache.#binding.bind(depth, undefined);
      }
    });
    return cache;
  }

  #state(): CacheState {
    const expectedTokens = this.#expectedTokens;
    return {
      rows: this.#rows,
      policies: this.#policies.map(specOf),
      expectedTokens,
      beyondContext: this.#beyondContext,
      depths: this.#pasts.map((past, depth) => {
        if (past === undefined) return undefined;
        const {scale, rope} = this.#seen[depth]!;
        return {past, scale, ...(rope && {rope: rope.config})};
      }),
    };
  }

  /**
   * Forgets all tokens; the plan stays.
   * @throws CacheStateError where a generation uses this cache.
   */
  reset(): void {
    this.#leases.expectFree('reset');
    this.#forget();
  }

  /**
   * Frees every tensor. The cache is empty and may be used again.
   * @throws CacheStateError where a generation uses this cache.
   */
  dispose(): void {
    this.#leases.expectFree('dispose');
    this.#forget();
    this.#ropes.dispose();
  }

  #forget(): void {
    this.#pasts.forEach((_, depth) => this.#replace(depth, undefined));
  }

  #contextOf(depth: number, scale: number, rope?: RopeTables): Context {
    const expectedTokens = this.#expectedTokens;
    return {
      depth,
      depths: this.#rows.length,
      scale,
      rope,
      expectedTokens,
    };
  }

  #replace(depth: number, next: Past | undefined): void {
    const old = this.#pasts[depth];
    this.#pasts[depth] = next;
    if (old !== undefined) releasePast(old, next);
  }

  /** Tokens that came into each depth. */
  #tokensOfDepths(): number[] {
    return this.#rows.map((_, depth) => this.tokensSeen(depth));
  }
}
