import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../ops/errors.js';
import {allFinite} from '../ops/finite/index.js';
import {rotate} from '../ops/rotate/index.js';
import type {RopeConfig} from '../ops/rotate/rope.js';
import type {LatentKeys} from './attend_past.js';
import {type Past, pastBytes, tensorsOfPast, tokensHeld} from './past.js';
import {type Plan, type PolicyLike, specOf} from './plan.js';
import {asPlan, perDepth} from './plans/index.js';
import {full} from './policies/full.js';
import {type Context, type Policy, step} from './policy.js';
import {reopen} from './reopen.js';
import {RopeTables} from './rope_tables.js';

/** What a cache needs to know of one attention layer. */
export interface CacheRow {
  /** The index of the attention layer in its model. */
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Of keys, and of queries where the layer gives no `keyBasis`. */
  readonly dim: number;
  /** Of values. */
  readonly dimV: number;
  /**
   * Of an uncompressed head, in layers whose keys and values are latents: what sizes are compared with, and the dim of queries
   * that meet rebuilt keys. Default: `dim` and `dimV`.
   */
  readonly headDim?: number;
  /** The policy that the layer asks for, where a cache is made without a plan. Default: `full`. */
  readonly policy?: PolicyLike;
}

/** Any model some of whose layers have a `cacheRow: CacheRow`: a `tf.LayersModel` with attention of eigenkv in it. */
export interface CacheableModel {
  readonly layers: readonly object[];
}

/** What an attention layer hands over for its fresh tokens, float32, **not** rotated. */
export interface FreshTokens {
  /** `[batch, heads, tokens, dim]` */
  readonly queries: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dim]`; latents `[batch, kvHeads, tokens, rank]` where there is a `keyBasis`. */
  readonly keys: tf.Tensor4D;
  /** `[batch, kvHeads, tokens, dimV]` */
  readonly values: tf.Tensor4D;
  /** `[kvHeads, rank, dim]`: what the keys are latents of. They are stored so, and rebuilt and rotated as they are met. */
  readonly keyBasis?: tf.Tensor3D;
  /** `[kvHeads, dim]`: what all keys have beside, where there is a `keyBasis`. */
  readonly keyMean?: tf.Tensor2D;
  /** Rotary positions; absent where the model has none. */
  readonly rope?: RopeConfig;
  /** Factor of the scores. Default 1 / sqrt(dim). */
  readonly scale?: number;
}

/** What an attention layer asks of a past: `KVCache`, or whatever stands in for it to watch or to change the attention. */
export interface AttentionCache {
  /** Tokens that went through the whole model: the position of the next one. */
  readonly tokens: number;
  /** See `KVCacheOptions`. */
  readonly beyondContext?: boolean;
  /** See `KVCache.attend`. */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D;
}

export interface KVCacheOptions {
  /** Tokens to expect in all: buffers grow to this and no further. Longer texts work too. */
  readonly expectedTokens?: number;
  /**
   * Let rotary models go on behind their context, which they refuse else. For policies that keep a budget: numbers stay
   * defined at any position, but nothing was trained there. Default false.
   */
  readonly beyondContext?: boolean;
}

/** How one depth of a cache stands. */
export interface DepthReport {
  readonly depth: number;
  readonly policy: string;
  /** Tokens that came in. */
  readonly tokensSeen: number;
  /** Tokens that each head still holds. */
  readonly tokensHeld: number;
  /** True bytes: codes, scales, positions, spare room. */
  readonly byteSize: number;
  /** What all tokens seen would take as float32. */
  readonly float32Bytes: number;
}

/** What a change of plan did at one depth. */
export interface PlanChange {
  readonly depth: number;
  readonly from: string;
  readonly to: string;
  /** Tokens that each head held, and now holds under the new policy. */
  readonly carriedTokens: number;
  /** Tokens that the former policy had evicted: they stay lost. */
  readonly evictedTokens: number;
}

/**
 * The past of a whole model: one policy and one `Past` per depth. The only place that keeps and disposes tensors.
 *
 *     const cache = new KVCache(model, uniform(quantized({bits: 8})));
 *     const logits = model.apply(ids, {cache});   // and again with the next ids
 *     cache.dispose();
 */
export class KVCache implements AttentionCache {
  private readonly rows: readonly CacheRow[];
  readonly beyondContext: boolean;
  private plan: Plan;
  private policies: readonly Policy[];
  private readonly pasts: (Past | undefined)[];
  /** How the tokens of each depth came in. */
  private readonly seen: {readonly scale: number; readonly rope?: RopeTables}[] = [];
  private readonly ropes = new Map<string, RopeTables>();
  private readonly expectedTokens: number | undefined;

  /**
   * @param model the model whose past this is, or its `CacheRow`s.
   * @param plan which policy stands where; a single policy stands everywhere. Default: what the layers ask for, `full()` else.
   * @throws InvalidArgumentError where the model has no attention layer that knows caches.
   */
  constructor(
    model: CacheableModel | readonly CacheRow[],
    plan?: Plan | PolicyLike,
    options: KVCacheOptions = {},
  ) {
    this.rows = cacheRows(model);
    this.plan = asPlan(plan ?? planOfLayers(this.rows));
    this.policies = policiesOf(this.plan, this.rows);
    this.pasts = this.rows.map(() => undefined);
    this.expectedTokens = options.expectedTokens;
    this.beyondContext = options.beyondContext ?? false;
  }

  /** Tokens that went through the whole model: the position of the next one. */
  get tokens(): number {
    return Math.min(...this.rows.map((_, depth) => this.tokensSeen(depth)));
  }

  /** Tokens that came into one depth. */
  tokensSeen(depth: number): number {
    return this.pasts[depth]?.tokensSeen ?? 0;
  }

  /** How one depth's past lies: for inspection; its tensors stay the cache's. */
  past(depth: number): Past | undefined {
    return this.pasts[depth];
  }

  /** True bytes of all that is stored: codes, scales, positions, spare room. */
  get byteSize(): number {
    return this.report().reduce((sum, {byteSize}) => sum + byteSize, 0);
  }

  /** One row per depth. */
  report(): DepthReport[] {
    return this.rows.map((row, depth) => {
      const past = this.pasts[depth];
      const tokensSeen = past?.tokensSeen ?? 0;
      const batch = past?.recent.keys.data.shape[0] ?? 0;
      return {
        depth,
        policy: this.policies[depth]!.name,
        tokensSeen,
        tokensHeld: past === undefined ? 0 : tokensHeld(past),
        byteSize: past === undefined ? 0 : pastBytes(past),
        float32Bytes: batch * row.kvHeads * uncompressedNumbers(row) * tokensSeen * 4,
      };
    });
  }

  /**
   * Attention of fresh tokens over everything that this depth holds, themselves included (causally), and the tokens'
   * way into the past. Called by attention layers.
   *
   * @returns float32 `[batch, heads, tokens, dimV]`.
   * @throws InvalidArgumentError where shapes do not fit the model or the past; the cache is as before then.
   */
  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const policy = this.policies[depth];
    if (policy === undefined) {
      throw new InvalidArgumentError(
        `This cache has the depths 0 to ${this.rows.length - 1}; there is no depth ${depth}.`,
      );
    }
    const past = this.pasts[depth];
    this.checkFresh(depth, fresh, past);
    const {queries, keys, values, rope: config, keyBasis} = fresh;
    const dim = queries.shape[3];
    const rope = config && this.ropeTables(config, dim);
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
          ...this.contextOf(depth, scale, rotates),
          ...(latentKeys && {latentKeys}),
        }),
      );
    });
    this.seen[depth] = {scale, ...(rotates && {rope: rotates})};
    this.replace(depth, next);
    return output;
  }

  /**
   * Another plan from now on, for the tokens that are there as well: they are decoded and encoded once more. What was
   * lost stays lost: evicted tokens, and the precision that the former codec took. Policies that go by attention
   * (`h2o`, `lru`, `lfu`, `adaptive`) compress with the next tokens.
   *
   * @returns what happened at each depth whose policy changed.
   * @throws InvalidArgumentError where the plan does not fit the model; the cache is as before then.
   */
  async setPlan(plan: Plan | PolicyLike): Promise<PlanChange[]> {
    const next = asPlan(plan);
    const policies = policiesOf(next, this.rows);
    const changes: PlanChange[] = [];
    for (const [depth, policy] of policies.entries()) {
      const former = this.policies[depth]!;
      if (JSON.stringify(specOf(policy)) === JSON.stringify(specOf(former))) continue;
      const past = this.pasts[depth];
      if (past !== undefined) await this.reencode(depth, past, policy);
      this.policies = this.policies.map((old, at) => (at === depth ? policy : old));
      const evictedTokens = past === undefined ? 0 : past.tokensSeen - tokensHeld(past);
      const carriedTokens = past === undefined ? 0 : tokensHeld(past);
      changes.push({depth, from: former.name, to: policy.name, carriedTokens, evictedTokens});
    }
    this.plan = next;
    return changes;
  }

  private async reencode(depth: number, past: Past, policy: Policy): Promise<void> {
    const {scale, rope} = this.seen[depth]!;
    const opened = await reopen(past, rope);
    const {past: next} = tf.tidy(() => {
      const context = this.contextOf(depth, scale, rope);
      return kept({past: policy.observes ? opened : policy.compress(opened, context)});
    });
    this.replace(depth, opened);
    this.replace(depth, next); // frees what the policy did not take over
  }

  /** Forgets all tokens; the plan stays. */
  reset(): void {
    this.pasts.forEach((_, depth) => this.replace(depth, undefined));
  }

  /** Frees every tensor. The cache is empty and may be used again. */
  dispose(): void {
    this.reset();
    for (const tables of this.ropes.values()) tables.dispose();
    this.ropes.clear();
  }

  private contextOf(depth: number, scale: number, rope?: RopeTables): Context {
    const {expectedTokens} = this;
    return {
      depth,
      depths: this.rows.length,
      scale,
      ...(rope && {rope}),
      ...(expectedTokens !== undefined && {expectedTokens}),
    };
  }

  private replace(depth: number, next: Past | undefined): void {
    const old = this.pasts[depth];
    this.pasts[depth] = next;
    if (old === undefined) return;
    const still = new Set(next === undefined ? [] : tensorsOfPast(next));
    for (const tensor of tensorsOfPast(old)) if (!still.has(tensor)) tensor.dispose();
  }

  private ropeTables(config: RopeConfig, dim: number): RopeTables {
    const key = JSON.stringify([config, dim]);
    let tables = this.ropes.get(key);
    if (tables === undefined) {
      tables = new RopeTables(config, dim);
      this.ropes.set(key, tables);
    }
    return tables;
  }

  private checkFresh(depth: number, fresh: FreshTokens, past: Past | undefined): void {
    const {queries, keys, values, keyBasis, keyMean} = fresh;
    const {heads, kvHeads, dim, dimV, headDim = dim} = this.rows[depth]!;
    const [batch, , tokens] = queries.shape;
    const queryDim = keyBasis === undefined ? dim : headDim;
    const expected = {
      queries: [batch, heads, tokens, queryDim],
      keys: [batch, kvHeads, tokens, dim],
      values: [batch, kvHeads, tokens, dimV],
      keyBasis: [kvHeads, dim, queryDim],
      keyMean: [kvHeads, queryDim],
    };
    const given = {queries, keys, values, ...(keyBasis && {keyBasis}), ...(keyMean && {keyMean})};
    for (const [name, {shape}] of Object.entries(given)) {
      const wanted = expected[name as keyof typeof expected];
      if (shape.join() !== wanted.join() || tokens < 1) {
        throw new InvalidArgumentError(
          `At depth ${depth}, ${name} are [${shape.join(', ')}]; expected [${wanted.join(', ')}] with at least one token.`,
        );
      }
    }
    if (allFinite(keys) === false || allFinite(values) === false) {
      throw new InvalidArgumentError(
        `At depth ${depth}, keys or values hold NaN or infinity: check the model's weights and its input.`,
      );
    }
    const pastBatch = past?.recent.keys.data.shape[0];
    if (pastBatch !== undefined && pastBatch !== batch) {
      throw new InvalidArgumentError(
        `This cache holds a batch of ${pastBatch}, and a batch of ${batch} came; reset() it or make another.`,
      );
    }
  }
}

/** The policy of every depth, each checked against the sizes of its heads. */
function policiesOf(plan: Plan, rows: readonly CacheRow[]): Policy[] {
  return rows.map((row, depth) => {
    const policy = plan.policyFor(depth, rows.length);
    policy.check?.(row);
    return policy;
  });
}

/** Keeps the tensors of a past beyond the tidy that made them. */
function kept<Result extends {past: Past}>(result: Result): Result & tf.TensorContainerObject {
  for (const tensor of tensorsOfPast(result.past)) tf.keep(tensor);
  return result as Result & tf.TensorContainerObject;
}

/** Numbers of a token's key and value of one head, if nothing compressed them. */
function uncompressedNumbers({dim, dimV, headDim}: CacheRow): number {
  return headDim === undefined ? dim + dimV : 2 * headDim;
}

/** What the layers of a model ask for. */
function planOfLayers(rows: readonly CacheRow[]): Plan {
  return perDepth(rows.map(({policy}) => policy ?? full()));
}

/** The basis of latent keys, once for each text of the batch; inside the caller's tidy. */
function latentKeysOf(
  {keyBasis, keyMean, keys}: FreshTokens,
  rope: RopeTables | undefined,
): LatentKeys | undefined {
  if (keyBasis === undefined) return undefined;
  const ofBatch = (x: tf.Tensor4D): tf.Tensor4D =>
    keys.shape[0] === 1 ? x : tf.tile(x, [keys.shape[0], 1, 1, 1]);
  return {
    basis: ofBatch(tf.expandDims<tf.Tensor4D>(keyBasis, 0)),
    ...(keyMean && {mean: ofBatch(tf.reshape(keyMean, [1, keyMean.shape[0], 1, keyMean.shape[1]]))}),
    ...(rope && {rope}),
  };
}

function rowOf(layer: object): CacheRow | [] {
  return 'cacheRow' in layer ? (layer.cacheRow as CacheRow) : [];
}

function cacheRows(model: CacheableModel | readonly CacheRow[]): CacheRow[] {
  const found = 'layers' in model ? model.layers.flatMap(rowOf) : [...model];
  const rows = found.sort((a, b) => a.depth - b.depth);
  if (rows.length === 0) {
    throw new InvalidArgumentError(
      'This model has no attention layer that knows caches; build it with the layers of eigenkv, or attach a cache to it.',
    );
  }
  rows.forEach(({depth}, index) => {
    if (depth !== index) {
      throw new InvalidArgumentError(
        `The depths of the model's attention layers are ${rows.map(row => row.depth).join(', ')}; expected 0, 1, 2 and so on, each once.`,
      );
    }
  });
  return rows;
}
