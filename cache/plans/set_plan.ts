import * as tf from '@tensorflow/tfjs';
import {CacheStateError} from '../../base/errors.js';
import {specOf} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {decodePast} from '../past/decode_past.js';
import {keepAndStore} from '../past/keep_and_store.js';
import {type Past, tensorsOfPast, tokensHeld} from '../past/past.js';
import {kept, stillHeld} from '../past/past_tensors.js';
import {queriesKept} from '../past/query_window.js';
import type {CacheState} from '../state.js';

/** The result of a change of plan at one depth. */
export interface PlanChange {
  readonly depth: number;
  /** Name of the former policy. */
  readonly from: string;
  /** Name of the new policy. */
  readonly to: string;
  /** Tokens per head that were held at the change. */
  readonly carriedTokens: number;
  /** Tokens per head that had been evicted before the change; they stay lost. */
  readonly evictedTokens: number;
}

/** Replaces the policies and stores the tokens in the cache again: see `KVCache.setPlan`. */
export async function setPlan(state: CacheState, policies: readonly Policy[]): Promise<PlanChange[]> {
  const changes: PlanChange[] = [];
  for (const [depth, policy] of policies.entries()) {
    const former = state.policies[depth]!;
    const isSame = policy.store.tables === former.store.tables;
    if (isSame && JSON.stringify(specOf(policy)) === JSON.stringify(specOf(former))) continue;
    const past = state.pasts[depth];
    const storesAlike = isSame && storedBy(policy) === storedBy(former);
    if (past !== undefined && !storesAlike) await reencode(state, depth, past, policy);
    state.policies = state.policies.map((old, at) => (at === depth ? policy : old));
    changes.push(planChange(depth, former, policy, past));
  }
  return changes;
}

/** The name and options that say how tokens are stored, and not only how they are read. */
function storedBy({name, options}: Policy): string {
  return JSON.stringify({name, options: {...options, skipValues: null}});
}

function planChange(depth: number, from: Policy, to: Policy, past: Past | undefined): PlanChange {
  const carriedTokens = past === undefined ? 0 : tokensHeld(past);
  const evictedTokens = past === undefined ? 0 : past.tokensSeen - carriedTokens;
  return {depth, from: from.name, to: to.name, carriedTokens, evictedTokens};
}

/** Replaces the past of one depth by one of another policy: decoded to exact tokens, then stored again. */
async function reencode(state: CacheState, depth: number, past: Past, policy: Policy): Promise<void> {
  const context = state.context(depth, state.seen[depth]!);
  const decoded = await stillHeld(past, () => decodePast(past, context.rope, policy.sinks));
  const {relativeBias} = past;
  const carried: Past = {
    ...decoded,
    ...(relativeBias && {relativeBias}),
    ...(queriesKept(policy.keep) !== undefined && {queries: past.queries}),
  };
  try {
    if (state.pasts[depth] !== past) {
      throw new CacheStateError(
        'This cache changed while setPlan was running; await setPlan before the next step.',
      );
    }
    const {past: next} = tf.tidy(() => kept({past: keepAndStore(policy, carried, context)}));
    state.replace(depth, carried);
    state.replace(depth, next); // frees what the policy did not take over
  } catch (error) {
    tf.dispose(tensorsOfPast(decoded));
    throw error;
  }
}
