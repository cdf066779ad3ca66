/// <reference lib="esnext.disposable" preserve="true" />
import {type PlanLike, asPlan} from './plans/as_plan.js';
import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {disposeSymbol} from '../base/dispose_symbol.js';
import {InvalidArgumentError, shown} from '../base/errors.js';
import {atLeast, callback, checkOptions, flag} from '../base/options.js';
import {type Warn, once, warnOnceOf} from '../base/warn.js';
import {expectMovable} from '../ops/backends/residence.js';
import {scoringOf} from '../ops/attention/scoring.js';
import {type Rotation, rotate, rotateBoth} from '../ops/rotate/index.js';
import type {AttentionCache} from './attention_cache.js';
import {attentionLayers, modelOf} from './binding/attention_layers.js';
import type {CacheSource, CacheableModel, LayerShape} from './binding/layer_shape.js';
import type {CacheLease} from './binding/lease.js';
import type {Policy} from './contract.js';
import {type FreshTokens, checkFresh, latentKeysOf} from './past/fresh_tokens.js';
import {type Past, tensorsOfPast} from './past/past.js';
import {kept} from './past/past_tensors.js';
import {step} from './past/step.js';
import {checkStep, isWholeStep} from './past/whole_step.js';
import {perDepth} from './plans/index.js';
import {planOfLayers} from './plans/of_layers.js';
import {policiesOf} from './plans/plan.js';
import {type PlanChange, setPlan} from './plans/set_plan.js';
import {continueFrom} from './sharing/continue_from.js';
import {isLent} from './sharing/shared_tensors.js';
import {truncate} from './sharing/truncate.js';
import {fill, openFor, save} from './snapshot/save.js';
import {CacheState} from './state.js';
import {type DepthReport, depthReport} from './watch/depth_report.js';

export interface KVCacheOptions {
  /** Expected length of the text in tokens: buffers grow to this and no further. Longer texts work, too. Default: unknown. */
  readonly expectedTokens?: number;
  /**
   * Let models with rotary positions run beyond their context length, which they refuse otherwise. Meant for policies with a budget.
   * Rotations are defined at any position, but the model was not trained there. Default false.
   */
  readonly beyondContext?: boolean;
  /** Called with what is to know of a policy with this model, such as that it needs a calibration. Default: `console.warn`, once per model. */
  readonly onWarning?: Warn | undefined;
}

/** The schema of `KVCacheOptions`, for functions that take them as well. */
export const cacheEntries = {
  expectedTokens: v.optional(atLeast(0)),
  beyondContext: v.optional(flag, false),
  onWarning: v.optional(callback<Warn>()),
};

const optionsSchema = v.strictObject(cacheEntries);
const restoreSchema = v.strictObject({onWarning: cacheEntries.onWarning});

let privateState: (cache: KVCache) => CacheState;

/**
 * The state of a cache, for functions over caches in folders of their own.
 * @throws InvalidArgumentError if it is no KVCache, which plain JavaScript callers may pass.
 */
export function stateOf(cache: KVCache): CacheState {
  const given: unknown = cache;
  if (given instanceof KVCache) return privateState(given);
  throw new InvalidArgumentError(
    `${shown(given)} was given for a cache; expected a KVCache, as new KVCache(model, plan) makes.`,
  );
}

/**
 * The KV cache of a whole model: one policy and one past per depth. It owns the tensors of its pasts.
 *
 *     using cache = new KVCache(model, 'quantized:bits=8');
 *     const logits = model.apply(ids, {cache});   // and again with the next ids
 *
 * Pass it to `model.apply`: `model.predict` takes no keyword arguments, and tfjs silently drops a cache that is passed to it.
 * Only `dispose` (or `using`) frees the cache. `tf.dispose` and `tf.tidy` do not see its tensors: its state is a private field, because
 * tfjs would free every tensor it finds in an object, the model's weights included.
 */
export class KVCache implements AttentionCache {
  readonly #state: CacheState;
  readonly #warn: Warn;

  static {
    privateState = cache => cache.#state;
  }

  /**
   * @param source the model that uses the cache: the result of `loadModel`, any `tf.LayersModel` with attention layers of eigenkv, or
   *   `LayerShape`s.
   * @param plan the policy of each depth: see `asPlan`. Default: what each layer asks for, otherwise `full`.
   * @throws InvalidArgumentError if the model has no attention layer with a cache, or applies one more than once, or if the plan cannot
   *   be read or does not fit the model; ModelError if a policy is of another model, as `transform` by a profile of one.
   */
  constructor(source: CacheSource, plan?: PlanLike, options: KVCacheOptions = {}) {
    const model = modelOf(source);
    const {expectedTokens, beyondContext, onWarning} = checkOptions('KVCache', optionsSchema, options);
    const layers = attentionLayers(model);
    const shapes = layers.map(({shape}) => shape);
    this.#warn = onWarning === undefined ? warnOnceOf(model) : once(onWarning);
    const policies = policiesOf(asPlan(plan ?? planOfLayers(shapes)), shapes, model, this.#warn);
    this.#state = new CacheState(model, policies, expectedTokens, beyondContext, layers);
  }

  /** The model that uses this cache, or its layer shapes. */
  get model(): CacheableModel | readonly LayerShape[] {
    return this.#state.model;
  }

  /** See `KVCacheOptions`. */
  get beyondContext(): boolean {
    return this.#state.beyondContext;
  }

  /** Tokens that passed through all layers; also the position of the next token. */
  get tokens(): number {
    return this.#state.tokens;
  }

  /** Returns the number of tokens that one depth has seen, evicted ones included. */
  tokensSeen(depth: number): number {
    return this.#state.pasts[depth]?.tokensSeen ?? 0;
  }

  /** Returns the past of one depth for inspection; undefined if it has seen no token. The cache keeps ownership of its tensors. */
  past(depth: number): Past | undefined {
    return this.#state.pasts[depth];
  }

  /** Returns the policy of one depth; undefined if the model has no such depth. */
  policy(depth: number): Policy | undefined {
    return this.#state.policies[depth];
  }

  /**
   * Bytes of all tensors of the cache: codes, scales, positions and spare capacity of all depths, and `sharedBytes`. Tables of the model
   * that all of its caches use are not counted: see `modelBytes`.
   */
  get byteSize(): number {
    return this.report().reduce((sum, {byteSize}) => sum + byteSize, this.sharedBytes);
  }

  /** The part of `byteSize` that depths share: tables of rotary positions, if stored keys are rotated during attention. */
  get sharedBytes(): number {
    return this.#state.ropes.byteSize;
  }

  /**
   * Bytes of the model's tables that this cache reads, such as the transforms of `transform` and the output metrics of `dropKv`: one copy for all
   * caches of the model.
   */
  get modelBytes(): number {
    const lent = this.#state.pasts.flatMap(past =>
      past === undefined ? [] : tensorsOfPast(past).filter(isLent),
    );
    const metrics = [...this.#state.outputMetrics.values()].filter(({isDisposed}) => !isDisposed);
    return [...new Set([...lent, ...metrics])].reduce((sum, {size}) => sum + 4 * size, 0);
  }

  /** Returns policy, tokens and bytes of each depth. */
  report(): DepthReport[] {
    const {shapes, policies, pasts} = this.#state;
    return shapes.map((shape, depth) => depthReport(shape, policies[depth]!.name, pasts[depth]));
  }

  /**
   * Computes the attention of fresh tokens over all tokens that this depth holds and, causally, over themselves; then the depth's policy
   * keeps and stores them. Called by attention layers.
   *
   * @returns the attention output, float32 `[batch, heads, tokens, dimV]`.
   * @throws InvalidArgumentError if shapes do not fit the model or the past, or if the layer belongs to another model. CacheStateError if
   *   the previous step did not reach all depths, if the model's weights changed since the first token, or if a generation uses this
   *   cache. Whatever a policy throws. This depth is unchanged after an error.
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
      if (isWholeStep(seen)) state.ropes.forgetLatest(); // the next step has other positions
    }
  }

  #step(policy: Policy, depth: number, fresh: FreshTokens): tf.Tensor4D {
    const state = this.#state;
    const past = state.pasts[depth];
    const {queries, values, rope: config, keyBasis, keyMean} = fresh;
    const dim = queries.shape[3];
    const rope = config && state.ropes.of(config, dim);
    const {relativeBias, ...scoring} = scoringOf(fresh, dim);
    const seen = {
      rope: keyBasis === undefined ? rope : undefined, // of stored keys
      ...scoring,
      ...(keyBasis && {latents: {keyBasis, keyMean, rope}}),
    };
    let next: Past | undefined;
    const output = tf.tidy(() => {
      const rotation = rope?.rotation(past?.tokensSeen ?? 0, queries.shape[2]);
      const [rotatedQueries, rotatedKeys] = rotated(fresh, rotation);
      const context = {
        latentKeys: latentKeysOf(fresh, queries.shape[0], rope),
        outputMetric: state.outputMetricOf(depth, fresh.layer),
        ...state.context(depth, seen),
      };
      const tokens = {queries: rotatedQueries, keys: rotatedKeys, values, relativeBias};
      const result = kept(step(policy, past, tokens, context));
      next = result.past; // not returned: tidy would search all of it for tensors, which are kept already
      return result.output;
    });
    if (past === undefined) state.binding.bind(depth, fresh.layer);
    state.seen[depth] = seen;
    state.replace(depth, next);
    return output;
  }

  /**
   * Changes the plan. Tokens in the cache are decoded and stored again by the new policies. Evicted tokens stay lost, and so does the
   * precision that the former codec lost. Keepers that observe attention evict, and the `adaptive` codec stores, at the next step.
   *
   * @returns the change at each depth whose policy changed.
   * @throws InvalidArgumentError if the plan cannot be read or does not fit the model, ModelError if a policy is of another model; the cache
   *   is then unchanged. Whatever a policy throws: then earlier depths have changed, this one and later ones have not.
   */
  async setPlan(plan: PlanLike): Promise<PlanChange[]> {
    this.#state.leases.expectFree('setPlan');
    const {shapes, model} = this.#state;
    return setPlan(this.#state, policiesOf(asPlan(plan), shapes, model, this.#warn));
  }

  /**
   * Reserves this cache for several steps, as a generation does. Until the lease ends, any other step or change (`setPlan`, `truncate`,
   * `continueFrom`, `reset`, `dispose`) throws a CacheStateError. Reading, `fork` and `save` stay allowed.
   *
   *     const lease = cache.lease('my loop');
   *     try {
   *       const logits = lease.run(() => model.apply(ids, {cache}));
   *     } finally {
   *       lease.end();
   *     }
   *
   * @param holder the name of the user, as shown in errors.
   * @throws CacheStateError if the cache is reserved already.
   */
  lease(holder: string): CacheLease {
    return this.#state.leases.take(holder);
  }

  /**
   * Returns a second cache with the same tokens, which continues independently. Nothing is copied: both share their tensors until one
   * of them changes. If both append to the same buffer, the first one uses its spare capacity and the second one copies it.
   *
   * @throws CacheStateError if a forward pass stopped before all layers ran.
   */
  fork(): KVCache {
    const {model, policies, expectedTokens, beyondContext} = this.#state;
    const fork = new KVCache(model, perDepth(policies), {
      beyondContext,
      expectedTokens,
      onWarning: this.#warn,
    });
    fork.continueFrom(this);
    return fork;
  }

  /**
   * Replaces its tokens by those of another cache, shared as `fork` does; its options stay.
   *
   * @throws InvalidArgumentError if it is no KVCache, or has other layer shapes, other policies or another model; CacheStateError if a
   *   forward pass of the other cache stopped before all layers ran. This cache is then unchanged.
   */
  continueFrom(other: KVCache): void {
    const given: unknown = other;
    if (!(given instanceof KVCache)) {
      throw new InvalidArgumentError(`continueFrom(${shown(given)}); expected a KVCache.`);
    }
    this.#state.leases.expectFree('continueFrom');
    if (other !== this) continueFrom(this.#state, other.#state);
  }

  /** Layer shapes, policies and the digests of their tables as JSON text. Caches with equal signatures can continue from each other's tokens. */
  get signature(): string {
    return this.#state.signature;
  }

  /**
   * Keeps only the first `tokens` tokens, as they are stored now. Precision that a codec lost stays lost.
   *
   * @throws InvalidArgumentError if the cache holds fewer; CacheStateError if tokens were evicted, by this plan or a former one, if they
   *   lost bits by their scores and the first ones lie between later ones, or if later tokens changed how earlier ones are stored (an SVD
   *   update): the message names the policy. The cache is then unchanged.
   */
  async truncate(tokens: number): Promise<void> {
    this.#state.leases.expectFree('truncate');
    if (!Number.isInteger(tokens) || tokens < 0 || tokens > this.tokens) {
      throw new InvalidArgumentError(
        `truncate(${tokens}): expected a whole number from 0 to ${this.tokens}, the tokens in the cache.${this.#state.disposedNote}`,
      );
    }
    if (tokens === 0) this.reset();
    else await truncate(this.#state, tokens);
  }

  /**
   * Returns a snapshot of the cache: the bytes of a safetensors file, whose format docs/SNAPSHOTS.md describes. The cache may continue
   * meanwhile; the snapshot holds its state at the call. Besides the bytes, host memory holds one tensor of the cache at a time, and its
   * copy without spare capacity.
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
   * Returns the cache that `save` wrote, on any backend. It continues as the saved one would have.
   *
   * @param source the model of the saved cache, or its layer shapes; then only sizes are compared.
   * @param plan the saved plan, needed only if its policies are not registered by name. Default: the saved policies.
   * @param options who is warned; all else is as it was saved.
   * @throws FormatError if the bytes are not a snapshot, damaged, or of another version; ModelError if the snapshot is of another model;
   *   InvalidArgumentError if they are no bytes, if the plan differs from the saved one, or a policy is not registered. Each message says
   *   what differs.
   */
  static async restore(
    bytes: Uint8Array,
    source: CacheSource,
    plan?: PlanLike,
    options: Pick<KVCacheOptions, 'onWarning'> = {},
  ): Promise<KVCache> {
    const {onWarning} = checkOptions('KVCache.restore', restoreSchema, options);
    const model = modelOf(source);
    const snapshot = await openFor(bytes, model);
    const {policies, expectedTokens, beyondContext} = snapshot.description;
    const cache = new KVCache(model, plan ?? perDepth(policies), {beyondContext, expectedTokens, onWarning});
    fill(cache.#state, snapshot);
    return cache;
  }

  /**
   * Frees all tokens. The plan stays.
   * @throws CacheStateError if a generation uses this cache.
   */
  reset(): void {
    this.#state.leases.expectFree('reset');
    this.#state.forget();
  }

  /**
   * Frees every tensor of the cache. It is then empty and may be used again.
   * @throws CacheStateError if a generation uses this cache.
   */
  dispose(): void {
    this.#state.leases.expectFree('dispose');
    this.#state.forget();
    this.#state.ropes.dispose();
    this.#state.isDisposed = true;
  }

  /** Lets `using cache = new KVCache(...)` free the cache at the end of its block. */
  [disposeSymbol](): void {
    this.dispose();
  }
}

/** Queries and keys as they are attended to and stored; keys that are latents are rotated when they are rebuilt. */
function rotated(
  {queries, keys, keyBasis}: FreshTokens,
  rotation: Rotation | undefined,
): [queries: tf.Tensor4D, keys: tf.Tensor4D] {
  if (rotation === undefined) return [queries, keys];
  return keyBasis === undefined ? rotateBoth(queries, keys, rotation) : [rotate(queries, rotation), keys];
}
