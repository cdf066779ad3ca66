import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {CacheStateError, InvalidArgumentError, shown} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {Budget, Context, Keeper, Policy} from '../contract.js';
import type {KeeperLike} from '../keepers/as_keeper.js';
import {type KVCache, stateOf} from '../kv_cache.js';
import {priceless} from '../past/candidates.js';
import {candidateScores, candidateTokens, evictTo, withCandidates} from '../past/evict.js';
import {readsAtOnce, untilArrived} from '../../ops/host_numbers.js';
import {latentKeysOf} from '../past/fresh_tokens.js';
import {type Past, type Undecided, tokensHeld} from '../past/past.js';
import {kept, releasePast} from '../past/past_tensors.js';
import {newestQueries, queriesKept} from '../past/query_window.js';
import {expectRefittable} from '../past/refit.js';
import {settled} from '../past/undecided.js';
import {expectWholeStep} from '../past/whole_step.js';
import type {CacheState, Seen} from '../state.js';
import {expectSeen} from './expect_seen.js';
import {keeperOfCut} from './keeper_of_cut.js';
import {type PromptSize, checkSize, tokensOfSize} from './prompt_size.js';
import {type SharingDepth, sharedBudgets} from './shared_budgets.js';

export interface CompressPromptOptions {
  /** First tokens that stay. Default: those of the policy, 4 at least. */
  readonly sinks?: number;
  /** Newest tokens that stay. Default: those of the policy, and at least as many as the keeper needs the queries of. */
  readonly recent?: number;
  /**
   * What the size is divided over: `'depth'`, each depth keeps as many tokens; `'model'`, the tokens of the highest scores of all depths
   * stay, and at least a fifth of the mean at each depth (as Ada-KV does over heads: Feng et al., 2024, arXiv 2407.11550). This needs scores
   * that can be compared, such as those of `dropKv`. Default `'depth'`.
   */
  readonly over?: 'depth' | 'model';
}

const schema = v.strictObject({
  sinks: v.optional(atLeast(0)),
  recent: v.optional(atLeast(0)),
  over: v.optional(v.picklist(['depth', 'model'], 'expected "depth" or "model"'), 'depth'),
});

/** What was cut at one depth, in tokens per key head. */
export interface PromptCut {
  readonly depth: number;
  /** Tokens held now. */
  readonly keptTokens: number;
  /** Tokens evicted by this cut. */
  readonly evictedTokens: number;
}

/**
 * Cuts the tokens of a cache, as after a prompt: at each depth the first and the newest ones stay, and of the others those that a keeper
 * scores highest, each key head for itself. They stay stored as they are; the plan of the cache does not change.
 *
 *     using cache = new KVCache(model, 'snapKv:budget=null');   // keeps the newest 64 queries and all tokens
 *     model.apply(prompt, {cache});
 *     await compressPrompt(cache, 'snapKv', 0.25);
 *
 * The keeper's own budget is not used. Keepers that look at attention need what only steps see, so the plan of the cache must ask for it: the
 * newest queries (`tova`, `snapKv`, `dropKv`, `expectedAttention`), by any keeper that has as many `queries`, or the attention of all of them
 * (`heaviest`, `lastUsed`, `mostUsed`), by the same keeper; with `budget: null` it evicts nothing by itself.
 *
 * Layers with a sliding window hold few tokens by themselves. Where others have none, a depth of which the size is more than it holds, or no more
 * than its first and newest tokens, stays as it is.
 *
 * @param keep a keeper, its name, its text such as `'dropKv:queries=16'`, or its name and options.
 * @param size what stays at each depth, on average: a share of the tokens held, above 0 and below 1; a whole number of tokens; or bytes per
 *   text, such as `'64kB'`. First and newest tokens are included.
 * @returns what was cut at each depth. Codes that share scales stay or go together, so that a few tokens fewer may stay.
 * @throws InvalidArgumentError if the keeper, the size or an option is not allowed, if the size is more than there is or leaves no room beside
 *   the first and the newest tokens; CacheStateError if the cache is empty or disposed, if it lacks what the keeper looks at, if a forward pass stopped
 *   before all layers ran, or if the cache changes or a generation uses it meanwhile. The cache is then as before.
 */
export async function compressPrompt(
  cache: KVCache,
  keep: KeeperLike,
  size: PromptSize,
  options: CompressPromptOptions = {},
): Promise<PromptCut[]> {
  return cutDepths(cache, keep, size, options, () => true);
}

/** The same at some depths; others stay as they are. */
export async function cutDepths(
  cache: KVCache,
  keep: KeeperLike,
  size: PromptSize,
  options: CompressPromptOptions,
  isCut: (depth: number) => boolean,
): Promise<PromptCut[]> {
  const {over, ...exact} = checkOptions('compressPrompt', schema, options);
  const keeper = keeperOfCut(keep);
  checkSize(size);
  const state = stateOf(cache);
  state.leases.expectFree('compressPrompt');
  expectWholeStep(state.tokensOfDepths);
  const asked = state.pasts.flatMap((past, depth) => {
    if (past === undefined) {
      const message = `compressPrompt: the cache holds no tokens; give it the prompt first.${state.disposedNote}`;
      throw new CacheStateError(message);
    }
    return isCut(depth) ? (cutOf(state, depth, past, keeper, size, exact) ?? []) : [];
  });
  const cuts = readsAtOnce() ? asked : await Promise.all(asked.map(decided));
  try {
    const budgets = over === 'model' ? await budgetsOverModel(cuts) : cuts.map(({budget}) => budget);
    return cutAll(state, cuts, budgets);
  } finally {
    tf.dispose(cuts.flatMap(({undecided}) => undecided?.numbers ?? []));
  }
}

/** Replaces the pasts of all cuts, or none. */
function cutAll(state: CacheState, cuts: readonly Cut[], budgets: readonly number[]): PromptCut[] {
  state.leases.expectFree('compressPrompt');
  if (cuts.some(({past, depth}) => past !== state.pasts[depth])) {
    throw new CacheStateError(
      'This cache changed while compressPrompt was running; await it before the next step.',
    );
  }
  const nexts: Past[] = [];
  try {
    for (const [i, cut] of cuts.entries()) {
      nexts.push(tf.tidy(() => kept({past: cutTo(budgets[i]!, cut)})).past);
    }
  } catch (error) {
    nexts.forEach((next, i) => {
      releasePast(next, cuts[i]!.past);
    });
    throw error;
  }
  const before = state.pasts.map(past => tokensHeld(past!));
  nexts.forEach((next, i) => state.replace(cuts[i]!.depth, next));
  return state.pasts.map((past, depth) => {
    const keptTokens = tokensHeld(past!);
    return {depth, keptTokens, evictedTokens: before[depth]! - keptTokens};
  });
}

/** One depth before it is cut. */
interface Cut {
  readonly depth: number;
  readonly past: Past;
  /** The policy of the depth, with the keeper and the exact tokens of the cut. */
  readonly policy: Policy;
  /** Inside the caller's tidy. */
  readonly context: () => Context;
  /** Tokens that stay between the first and the newest ones. */
  readonly budget: number;
  /** The numbers that the codec decides by, if they are read late. */
  readonly undecided?: Undecided | undefined;
}

/** What to cut at a depth; undefined if its window holds so little that nothing is to be cut. */
function cutOf(
  state: CacheState,
  depth: number,
  past: Past,
  keep: Keeper,
  size: Budget,
  exact: {readonly sinks?: number | undefined; readonly recent?: number | undefined},
): Cut | undefined {
  const own = state.policies[depth]!;
  const {recentOption: _, ...parts} = own; // the cut has a `recent` of its own
  const policy = {
    ...parts,
    keep,
    sinks: exact.sinks ?? Math.max(4, own.sinks),
    recent: exact.recent ?? Math.max(own.recent, queriesKept(keep) ?? 0),
  };
  expectRefittable(policy);
  expectSeen(keep, own.keep, past);
  expectBasis(past, state.seen[depth]!);
  const stay = policy.sinks + policy.recent;
  const tokens = tokensOfSize(size, past, policy);
  const held = tokensHeld(past);
  if ((tokens > held || tokens <= stay) && isSpared(state.seen, depth)) return undefined;
  if (tokens > held) {
    throw new InvalidArgumentError(
      `compressPrompt(${shown(size)}): ${tokens} tokens, but there are ${held} to keep; give fewer, or a share such as 0.25.`,
    );
  }
  if (tokens <= stay) {
    throw new InvalidArgumentError(
      `compressPrompt(${shown(size)}): ${Math.max(0, tokens)} of ${held} tokens would stay at depth ${depth}, and the first ` +
        `${policy.sinks} and the newest ${policy.recent} stay anyway; give more, or a keeper with fewer queries, {sinks} or {recent}.`,
    );
  }
  return {depth, past, policy, context: () => contextOf(state, depth, past), budget: tokens - stay};
}

/** Whether a depth may stay as it is: if it has a window, and the prompt is cut at others that have none. */
function isSpared(seen: readonly (Seen | undefined)[], depth: number): boolean {
  return seen[depth]?.window !== undefined && seen.some(other => other?.window === undefined);
}

/** @throws CacheStateError if keys are latents whose basis is not known. */
function expectBasis({queries, recent}: Past, {latents}: Seen): void {
  if (queries === undefined || latents !== undefined || queries.data.shape[3] === recent.keys.dim) return;
  throw new CacheStateError(
    'compressPrompt: this cache was restored, and its keys are latents whose basis only a step brings: run one more step first.',
  );
}

function contextOf(state: CacheState, depth: number, {queries, recent}: Past): Context {
  const seen = state.seen[depth]!;
  return {
    ...state.context(depth, seen),
    latentKeys: seen.latents && latentKeysOf(seen.latents, recent.keys.data.shape[0], seen.latents.rope),
    outputMetric: state.outputMetricOf(depth, state.binding.writer(depth)),
    ...(queries && {queries: newestQueries(queries, queries.tokens)}),
  };
}

/** The same cut, once the numbers that its codec decides by have come. */
async function decided(cut: Cut): Promise<Cut> {
  let undecided: Undecided | undefined;
  tf.tidy(() => {
    undecided = withCandidates(cut.policy, settled(cut.past), cut.context())?.undecided;
    undecided?.numbers.forEach(tf.keep);
  });
  if (undecided === undefined) return cut;
  await Promise.all(undecided.numbers.map(untilArrived));
  return {...cut, undecided};
}

/** The past with so many tokens between the first and the newest ones. Inside the caller's tidy. */
function cutTo(budget: number, cut: Cut): Past {
  const {policy} = cut;
  const {ready, context} = readyOf(cut);
  const stay = tokensHeld(ready) - candidateTokens(ready);
  return evictTo(policy.sinks + policy.recent + budget - stay, policy, ready, context);
}

/** The past whose candidates are stored. Inside the caller's tidy. */
function readyOf({past, policy, undecided, context: contextOfCut}: Cut): {ready: Past; context: Context} {
  const context = contextOfCut();
  const ready = withCandidates(policy, {...past, undecided}, context);
  if (ready !== undefined && ready.undecided === undefined) return {ready, context};
  throw new CacheStateError(
    `compressPrompt: ${policy.store.name} cannot store the tokens of this cache now; run one more step first.`,
  );
}

async function budgetsOverModel(cuts: readonly Cut[]): Promise<number[]> {
  const depths: SharingDepth[] = [];
  for (const cut of cuts) {
    const scores = tf.tidy(() => {
      const {ready, context} = readyOf(cut);
      return tf.concat(candidateScores(cut.policy, ready, context), 2);
    });
    const [batch, kvHeads, tokens] = scores.shape;
    const numbers = await scores.data<'float32'>();
    scores.dispose();
    const heads = Array.from({length: batch * kvHeads}, (_, head) =>
      numbers.slice(head * tokens, (head + 1) * tokens).filter(score => score < priceless),
    );
    depths.push({budget: cut.budget, scores: heads});
  }
  return sharedBudgets(depths);
}
