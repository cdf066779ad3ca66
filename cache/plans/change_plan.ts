import * as tf from '@tensorflow/tfjs';
import {CacheStateError} from '../../base/errors.js';
import {type Past, tensorsOfPast, tokensHeld} from '../past/past.js';
import {kept, stillHeld} from '../past/past_tensors.js';
import type {Context, Policy} from '../policy.js';
import {reopen} from '../past/decode_past.js';

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

export function planChange(depth: number, from: Policy, to: Policy, past: Past | undefined): PlanChange {
  const carriedTokens = past === undefined ? 0 : tokensHeld(past);
  const evictedTokens = past === undefined ? 0 : past.tokensSeen - carriedTokens;
  return {depth, from: from.name, to: to.name, carriedTokens, evictedTokens};
}

/**
 * A past as another policy keeps it: decoded to dense tokens (`opened`), and compressed (`next`), where the policy needs no
 * attention for that. The tensors of both are the caller's.
 *
 * @param isCurrent whether the cache still holds this past.
 * @throws CacheStateError where it does not; what the policy throws.
 */
export async function reencoded(
  past: Past,
  policy: Policy,
  context: Context,
  isCurrent: () => boolean,
): Promise<{opened: Past; next: Past}> {
  const opened = await stillHeld(past, () => reopen(past, context.rope));
  try {
    if (!isCurrent()) {
      throw new CacheStateError(
        'This cache went on while its plan was changed; await the one, then do the other.',
      );
    }
    const {past: next} = tf.tidy(() =>
      kept({past: policy.observes ? opened : policy.compress(opened, context)}),
    );
    return {opened, next};
  } catch (error) {
    tf.dispose(tensorsOfPast(opened));
    throw error;
  }
}
