import type {Budget, Context, Policy} from '../contract.js';
import {bytesOf} from '../keepers/budget.js';
import {dropUnseen} from './drop_unseen.js';
import {evict} from './evict.js';
import {type DenseBlock, type Past, oldestSeen} from './past.js';
import {queriesKept} from './query_window.js';
import {firstTokens, keepSinks, lastTokens, splitOldest, wholeBlocks} from './segments.js';
import {storeBlock} from './undecided.js';

/**
 * Applies a policy after attention: drops tokens that no later query sees, stores those older than the `recent` ones in whole blocks, then
 * evicts what exceeds the keeper's budget. Pure; inside the caller's tidy.
 */
export function keepAndStore(given: Policy, before: Past, of: Context): Past {
  const {window} = of;
  // the first tokens are sinks as long as a query sees them
  const hasSinks = window === undefined || oldestSeen(before, window) < given.sinks;
  const policy = hasSinks ? given : {...given, sinks: 0};
  const past = window === undefined ? before : dropUnseen(before, window, of.queries?.shape[2] ?? window);
  const {keep, store} = policy;
  const context = keep.budget === undefined ? of : {...of, budget: budgetAt(policy, keep.budget, of.depth)};
  const rested = storeRest(policy, past, context);
  // exact tokens stay in `recent` until the budget is exceeded
  const restWaits = rested.undecided !== undefined && rested.held['rest'] !== undefined;
  const stored = store.exact === true || restWaits ? rested : storeOldest(policy, rested, context);
  const asksQueries = keep.observes !== undefined || queriesKept(keep) !== undefined;
  const canChoose = (!asksQueries || context.queries !== undefined) && stored.undecided === undefined;
  return keep.budget === undefined || !canChoose ? stored : evict(policy, stored, context);
}

/** The budget of one depth. */
function budgetAt({store}: Policy, budget: Budget, depth: number): Budget {
  const bytes = bytesOf(budget);
  const share = store.budgetShare?.(depth);
  return bytes === undefined || share === undefined ? budget : `${Math.floor(bytes * share)}B`;
}

/** Stores the tokens that wait in `recent`, once there are enough. */
function storeOldest({sinks, recent, store}: Policy, past: Past, context: Context): Past {
  const first = past.recent.positions === 0 ? sinks : 0; // still in `recent`
  const waiting = past.recent.tokens - first - recent;
  const moved = wholeBlocks(waiting, store.moveTokens);
  const asked = past.undecided?.tokens ?? waiting + 1;
  const leaving = asked <= waiting ? asked : moved > 0 && store.movesAll === true ? waiting : moved;
  if (leaving === 0 || (!hasBegun(past) && leaving < firstTokensOf(store, past))) return past;
  const {past: left, block} = splitOldest(keepSinks(past, sinks), leaving);
  return storeBlock(store, past, left, block, context);
}

/** Stores the exact tokens of a former plan in `held.rest`, whose positions differ from head to head. */
function storeRest({store}: Policy, past: Past, context: Context): Past {
  const {rest, ...held} = past.held;
  if (rest === undefined) return past;
  const tokens = wholeBlocks(rest.tokens, store.blockTokens);
  if (tokens === 0 || (!hasBegun(past) && tokens < firstTokensOf(store, past))) return past;
  const block = rest as DenseBlock;
  const left = tokens === rest.tokens ? held : {...held, rest: lastTokens(block, rest.tokens - tokens)};
  return storeBlock(store, past, {...past, held: left}, firstTokens(block, tokens), context);
}

function hasBegun({held}: Past): boolean {
  return Object.keys(held).some(name => name !== 'sinks' && name !== 'rest');
}

function firstTokensOf({firstTokens: fewest}: Policy['store'], {recent: {keys, values}}: Past): number {
  return fewest?.({dim: keys.dim, dimV: values.dim}) ?? 1;
}
