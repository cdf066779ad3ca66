/// <reference lib="esnext.disposable" preserve="true" />
import {type PlanLike, asPlan} from './plans/as_plan.js';
import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {disposeSymbol} from '../base/dispose_symbol.js';
import {InvalidArgumentError} from '../base/errors.js';
import {atLeast, checkOptions, flag} from '../base/options.js';
import {expectMovable} from '../ops/backends/residence.js';
import {rotate} from '../ops/rotate/index.js';
import type {AttentionCache} from './attention_cache.js';
import {attentionLayers, modelOf} from './binding/attention_layers.js';
import type {CacheSource, CacheableModel, LayerShape} from './binding/layer_shape.js';
import type {CacheLease} from './binding/lease.js';
import type {Policy} from './contract.js';
import {type FreshTokens, checkFresh, latentKeysOf} from './past/fresh_tokens.js';
import type {Past} from './past/past.js';
import {kept} from './past/past_tensors.js';
import {step} from './past/step.js';
import {checkStep, isWholeStep} from './past/whole_step.js';
import {perDepth} from './plans/index.js';
import {planOfLayers} from './plans/of_layers.js';
import {policiesOf} from './plans/plan.js';
import {type PlanChange, setPlan} from './plans/set_plan.js';
import {continueFrom} from './sharing/continue_from.js';
import {truncate} from './sharing/truncate.js';
import {fill, openFor, save} from './snapshot/save.js';
import {CacheState} from './state.js';
import {type DepthReport, depthReport} from './watch/depth_report.js';

export interface KVCacheOptions {
  /** Tokens to expect in all: buffers grow to this and no further. Longer texts work too. Default: unknown. */
  readonly expectedTokens?: number;
  /**
   * Let rotary models go on beyond their context, which they refuse otherwise. For policies that keep a budget: numbers stay
   * defined at any position, but nothing was trained there. Default false.
   */
  readonly beyondContext?: boolean;
}

const optionsSchema = v.strictObject({
  expectedTokens: v.optional(atLeast(0)),
  beyondContext: v.optional(flag, false),
});

/**
 * The past of a whole model: one policy and one `Past` per depth. The only place that keeps and disposes tensors.
 *
 *     using cache = new KVCache(model, 'quantized:bits=8');
 *     const logits = model.apply(ids, {cache});   // and again with the next ids
 *
 * Give it to `model.apply`: `model.predict` takes no keyword arguments, and tfjs drops a cache that is given to it without a word.
 * `dispose` (or `using`) alone frees it: `tf.dispose` and `tf.tidy` see none of its tensors (its state is a private field of
 * JavaScript, as tfjs frees whatever it finds in an object, the model's weights too).
 */
export class KVCache implements AttentionCache {
  readonly #state: CacheState;

  /**
   * @param source the model whose past this is: loaded by `loadModel`, any `tf.LayersModel` with attention of eigenkv, or `LayerShape`s.
   * @param plan which policy stands where: see `asPlan`. Default: what the layers ask for, `full` otherwise.
   * @throws InvalidArgumentError if the model has no attention layer that knows caches, or applies one more than once, or if the
   *   plan is none.
   */
  constructor(source: CacheSource, plan?: PlanLike, options: KVCacheOptions = {}) {
    const model = modelOf(source);
    const {expectedTokens, beyondContext} = checkOptions('KVCache', optionsSchema, options);
    const layers = attentionLayers(model);
    const shapes = layers.map(({row}) => row);
    const policies = policiesOf(asPlan(plan ?? planOfLayers(shapes)), shapes);
    this.#state = new CacheState(model, policies, expectedTokens, beyondContext, layers);
  }

  /** The model whose past this is, or its shapes. */
  get model(): CacheableModel | readonly LayerShape[] {
    return this.#state.model;
  }

  /** See `KVCacheOptions`. */
  get beyondContext(): boolean {
    return this.#state.beyondContext;
  }

  /** Tokens that went through the whole model: the position of the next one. */
  get tokens(): number {
    return Math.min(...this.#state.tokensOfDepths);
  }

  /** Tokens that came into one depth. */
  tokensSeen(depth: number): number {
    return this.#state.pasts[depth]?.tokensSeen ?? 0;
  }

  /** How one depth's past lies: for inspection; its tensors stay the cache's. */
  past(depth: number): Past | undefined {
    return this.#state.pasts[depth];
  }

  /** The policy of one depth. */
  policy(depth: number): Policy | undefined {
    return this.#state.policies[depth];
  }

  /** True bytes of all that is kept: codes, scales, positions, spare room of all depths, and what the depths share. */
  get byteSize(): number {
    return this.report().reduce((sum, {byteSize}) => sum + byteSize, this.sharedBytes);
  }

  /** Of `byteSize`, what no depth has alone: tables of rotary positions, if stored keys are rotated as they are attended. */
  get sharedBytes(): number {
    return this.#state.ropes.byteSize;
  }

  /** One row per depth. */
  report(): DepthReport[] {
    const {shapes, policies, pasts} = this.#state;
    return shapes.map((shape, depth) => depthReport(shape, policies[depth]!.name, pasts[depth]));
  }

  /**
   * Attention of fresh tokens over everything that this depth holds, themselves included (causally), and the tokens'
   * way into the past. Called by attention layers.
   *
   * @returns float32 `[batch, heads, tokens, dimV]`.
   * @throws InvalidArgumentError if shapes do not fit the model or the past, or if the layer is another model's, or what a policy
   *   throws: this depth is as before then. CacheStateError if the step before did not reach all depths, if the model's weights
   *   changed since the first token, or if a generation uses this cache.
   */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const state = this.#state;
    const policy = state.policies[depth];
    if (policy === undefined) {
      throw new InvalidArgumentError(
        `This cache has the depths 0 to ${state.shapes.length - 1}; there is no depth ${depth}.`,
      );
    }
    const past = state.pasts[depth];
    state.leases.expectFree('another step');
    if (past === undefined) state.binding.checkFirstLayer(depth, fresh.layer);
    else state.binding.checkLayer(depth, fresh.layer);
    if (past !== undefined) expectMovable(past.recent.keys.data);
    checkFresh(depth, state.shapes[depth]!, fresh, past);
    const seen = state.tokensOfDepths;
    checkStep(seen, depth, fresh.queries.shape[2]);
    if (past !== undefined && isWholeStep(seen)) state.binding.checkWeights();
    try {
      const output = this.#step(policy, depth, fresh);
      seen[depth] = this.tokensSeen(depth);
      return output;
    } finally {
      if (isWholeStep(seen)) state.ropes.forgetLatest(); // the next step is at other positions
    }
  }

  #step(policy: Policy, depth: number, fresh: FreshTokens): tf.Tensor4D {
    const state = this.#state;
    const past = state.pasts[depth];
    const {queries, keys, values, rope: config, keyBasis, window} = fresh;
    const dim = queries.shape[3];
    const rope = config && state.ropes.of(config, dim);
    const seen = {
      scale: fresh.scale ?? 1 / Math.sqrt(dim),
      rope: keyBasis === undefined ? rope : undefined, // of the keys that are stored
    };
    const {output, past: next} = tf.tidy(() => {
      const rotation = rope?.rotation(past?.tokensSeen ?? 0, queries.shape[2]);
      const rotated = {
        queries: rotation ? rotate(queries, rotation) : queries,
        keys: rotation && seen.rope ? rotate(keys, rotation) : keys,
        values,
      };
      const context = {...state.context(depth, seen), window, latentKeys: latentKeysOf(fresh, rope)};
      return kept(step(policy, past, rotated, context));
    });
    if (past === undefined) state.binding.bind(depth, fresh.layer);
    state.seen[depth] = seen;
    state.replace(depth, next);
    return output;
  }

  /**
   * Another plan from now on, for the tokens that are there as well: they are decoded and stored anew. What was
   * lost stays lost: evicted tokens, and the precision that the former codec took. Keepers that go by attention evict, and the
   * `adaptive` codec stores, with the next tokens.
   *
   * @returns what happened at each depth whose policy changed.
   * @throws InvalidArgumentError if the plan does not fit the model; the cache is as before then. What a policy throws: the
   *   depths before have changed then, and this one and those after it have not.
   */
  async setPlan(plan: PlanLike): Promise<PlanChange[]> {
    this.#state.leases.expectFree('setPlan');
    return setPlan(this.#state, policiesOf(asPlan(plan), this.#state.shapes));
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
   * @throws CacheStateError if it is taken.
   */
  lease(holder: string): CacheLease {
    return this.#state.leases.take(holder);
  }

  /**
   * Another cache of the same tokens, which goes on by itself. Nothing is copied: both share their tensors, until one of
   * them goes on where it needs others. Of a buffer that both write to, the first one takes the room and the second one a copy.
   *
   * @throws CacheStateError if a forward pass stopped before all layers ran.
   */
  fork(): KVCache {
    const {model, policies, expectedTokens, beyondContext} = this.#state;
    const fork = new KVCache(model, perDepth(policies), {beyondContext, expectedTokens});
    fork.continueFrom(this);
    return fork;
  }

  /**
   * Forgets its own tokens and goes on from those of another cache, as `fork` does; its options stay.
   *
   * @throws InvalidArgumentError if the other one is of other sizes, policies or another model, CacheStateError if a forward pass
   *   of it stopped before all layers ran; the cache is as before then.
   */
  continueFrom(other: KVCache): void {
    this.#state.leases.expectFree('continueFrom');
    if (other !== this) continueFrom(this.#state, other.#state);
  }

  /** What two caches have in common that can go on from each other's tokens: sizes and policies, as text. */
  get signature(): string {
    return this.#state.signature;
  }

  /**
   * Keeps the first `tokens` tokens only, as they are stored now; what a codec lost of them stays lost.
   *
   * @throws InvalidArgumentError if there are fewer; CacheStateError if a policy evicted tokens, or took later ones
   *   into what it stores of them: the message names the policy. The cache is as before then.
   */
  async truncate(tokens: number): Promise<void> {
    this.#state.leases.expectFree('truncate');
    if (!Number.isInteger(tokens) || tokens < 0 || tokens > this.tokens) {
      throw new InvalidArgumentError(
        `truncate(${tokens}): expected a whole number from 0 to the ${this.tokens} tokens that there are.`,
      );
    }
    if (tokens === 0) this.reset();
    else await truncate(this.#state, tokens);
  }

  /**
   * The cache as the bytes of a safetensors file, whose format docs/SNAPSHOTS.md describes. It may go on meanwhile: what is
   * saved is what it holds now. Beside the bytes one tensor of the cache, and its copy without spare room, is in the host's memory at a time.
   *
   * @throws CacheStateError if a forward pass stopped before all layers ran, or if the model's weights changed since its first token.
   */
  async save(): Promise<Uint8Array> {
    const still = this.fork();
    try {
      return await save(still.#state);
    } finally {
      still.dispose();
    }
  }

  /**
   * The cache that `save` wrote, which goes on as if it had never stopped, on any backend.
   *
   * @param source the model that it is of; or its shapes, if sizes are all that can be compared.
   * @param plan makes policies that are not registered by name. Default: as saved.
   * @throws FormatError if bytes are no snapshot, damaged, or of another version; ModelError if they are of another
   *   model; InvalidArgumentError if the plan is another one, or a policy is not registered. Each says what differs.
   */
  static async restore(bytes: Uint8Array, source: CacheSource, plan?: PlanLike): Promise<KVCache> {
    const model = modelOf(source);
    const snapshot = await openFor(bytes, model);
    const {policies, expectedTokens, beyondContext} = snapshot.description;
    const cache = new KVCache(model, plan ?? perDepth(policies), {beyondContext, expectedTokens});
    fill(cache.#state, snapshot);
    return cache;
  }

  /**
   * Forgets all tokens; the plan stays.
   * @throws CacheStateError if a generation uses this cache.
   */
  reset(): void {
    this.#state.leases.expectFree('reset');
    this.#state.forget();
  }

  /**
   * Frees every tensor. The cache is empty and may be used again.
   * @throws CacheStateError if a generation uses this cache.
   */
  dispose(): void {
    this.#state.leases.expectFree('dispose');
    this.#state.forget();
    this.#state.ropes.dispose();
  }

  /** `using cache = new KVCache(...)` frees it at the end of its block. */
  [disposeSymbol](): void {
    this.dispose();
  }
}
