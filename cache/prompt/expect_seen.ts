import {CacheStateError} from '../../base/errors.js';
import type {Keeper} from '../contract.js';
import type {Past} from '../past/past.js';
import {queriesKept, refitQueries, refitsByQueries} from '../past/query_window.js';
import {askingPlan} from './asking_plan.js';

/**
 * @param caller the function that a message names.
 * @throws CacheStateError if the past lacks what a keeper looks at.
 */
export function expectSeen(
  keep: Keeper,
  own: Keeper,
  {queries, recent, held, tokensSeen}: Past,
  caller = 'compressPrompt',
): void {
  const needed = queriesKept(keep);
  const asking = () => askingPlan(keep);
  if (needed !== undefined && queries === undefined) {
    throw new CacheStateError(
      `${caller}: ${keep.name} looks at the newest ${needed} queries, which this cache did not keep. Make it with a plan that asks for ` +
        `them, such as ${asking()}, which evicts nothing, and give it the prompt again.`,
    );
  }
  const looksAt = keep.queries ?? 0;
  if (
    queries !== undefined &&
    queries.tokens < Math.min(looksAt, tokensSeen) &&
    (queriesKept(own) ?? 0) < looksAt
  ) {
    throw new CacheStateError(
      `${caller}: ${keep.name} looks at the newest ${looksAt} queries, and this cache kept ${queries.tokens}. Make it with a plan that asks for ` +
        `as many, such as ${asking()}, and give it the prompt again, or give the keeper fewer.`,
    );
  }
  if (refitsByQueries(keep) && queries !== undefined && queries.tokens < refitQueries) {
    throw new CacheStateError(
      `${caller}: refit needs ${refitQueries} of the newest queries, and this cache kept ${queries.tokens}. Make it with a plan that refits, ` +
        `such as ${asking()}, and give it the prompt again.`,
    );
  }
  if (keep.observes === undefined) return;
  const hasScores = [...Object.entries(held), ['recent', recent] as const].every(
    ([name, {tokens, scores}]) => name === 'sinks' || tokens === 0 || scores !== undefined,
  );
  if (hasScores && JSON.stringify(keep.observes) === JSON.stringify(own.observes)) return;
  throw new CacheStateError(
    `${caller}: ${keep.name} looks at the attention of all queries, which this cache did not observe. Make it with a plan of the same keeper, ` +
      `such as ${asking()}, which evicts nothing, and give it the prompt again.`,
  );
}
