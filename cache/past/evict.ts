import * as tf from '@tensorflow/tfjs';
import {readableNumbers} from '../../ops/host_numbers.js';
import type {Context, Policy} from '../contract.js';
import {bytesOf, bytesPerToken} from '../keepers/budget.js';
import {type Judged, judge} from './candidates.js';
import {bestOf, newestOf, partedByScore} from './choose.js';
import {withFittedValues} from './fit_values.js';
import {type Past, type Segment, finerSegments, isAlwaysKept, tokensHeld, withSegments} from './past.js';
import {refits} from './query_window.js';
import {refitted} from './refit.js';
import {blockTokensOf, keepSinks, moveTokens, splitOldest, wholeBlocks, withoutOldest} from './segments.js';
import {settled, storeBlock} from './undecided.js';

/**
 * Evicts tokens of the lowest scores, separately for each key head, once a head holds more than the keeper's budget, the sinks and the
 * recent tokens. Memory is freed: the kept codes are gathered into new buffers without decoding. Tokens that share scales are kept or
 * evicted as whole blocks, by the sum of their scores.
 *
 * If the codec can store tokens in fewer bits, those of the lowest scores lose bits first.
 *
 * A few more tokens than necessary are evicted, so that this copy is not made at every step: see `earlyTokens`.
 */
export function evict(policy: Policy, given: Past, context: Context): Past {
  const {keep, store, recent, sinks} = policy;
  const scoresOfSegment =
    keep.score && ((segment: Segment) => judge(keep, [segment], 0, given, context).scores[0]!);
  const past = store.lower?.(given, context, scoresOfSegment) ?? given;
  const apart = past.held['sinks'];
  const within = holdsSinksWithin(policy, past);
  const budget = tokensOf(policy, past, context) + (within ? sinks : 0);
  const limit = budget + recent + (within ? 0 : (apart?.tokens ?? (past.recent.positions === 0 ? sinks : 0)));
  // tokens that wait to be stored count to a budget, but not to bytes for which bits fall: none goes before all bits have fallen
  const waiting = store.lower === undefined ? 0 : Math.max(0, past.recent.tokens - recent);
  if (tokensHeld(past) - waiting <= limit) return past;
  const isWindow = keep.score === undefined && !refits(keep);
  if (store.exact === true && isWindow && Object.keys(past.held).every(areSinks)) {
    return dropOldest(keepSinks(past, sinks), budget + recent);
  }
  const ready = withCandidates(policy, past, context);
  if (ready === undefined) return past;
  if (ready.undecided !== undefined) return ready;
  const finer = finerSegments.reduce((sum, name) => sum + (ready.held[name]?.tokens ?? 0), 0);
  const early = store.lower === undefined ? Math.max(earlyTokens(budget), store.blockTokens - 1) : 0;
  const kept = budget - finer - early;
  return evictTo(kept, policy, ready, context, isAlwaysKept);
}

/** Whether the first tokens lie among the candidates, with the highest score: an exact store needs no separate segment for them. */
function holdsSinksWithin({keep, store}: Policy, past: Past): boolean {
  return past.held['sinks'] === undefined && store.exact === true && keep.score !== undefined;
}

/**
 * Stores all tokens but the sinks and the recent ones, in whole blocks: these can be evicted. Undefined if the codec cannot store them now,
 * see `PairCodec.add`; `undecided` if it waits for numbers.
 */
export function withCandidates(policy: Policy, past: Past, context: Context): Past | undefined {
  const {sinks, recent, store} = policy;
  const started = holdsSinksWithin(policy, past) ? past : keepSinks(past, sinks);
  const leaving = wholeBlocks(started.recent.tokens - recent, store.blockTokens);
  const {past: left, block} = splitOldest(started, leaving);
  if (leaving === 0) return settled(started);
  const stored = storeBlock(store, started, left, block, context);
  return stored === started ? undefined : stored;
}

/**
 * Returns how many more tokens than necessary are evicted when a budget is full, so that eviction is not due at each step: less than a
 * sixteenth of the budget, at most 15. Small budgets are used in full.
 */
export function earlyTokens(budget: number): number {
  return Math.min(moveTokens, Math.ceil(budget / 16)) - 1;
}

/** The budget in tokens per head. A budget in bytes is divided by the bytes per token as they are stored now. */
function tokensOf({keep, store}: Policy, past: Past, context: Context): number {
  const budget = context.budget ?? keep.budget ?? Infinity;
  const bytes = budget === Infinity ? undefined : bytesOf(budget);
  if (bytes === undefined) return budget as number;
  const numbers = {scored: keep.observes !== undefined, biased: refits(keep)};
  const costOf = (segment: Segment) => bytesPerToken(segment, numbers);
  const candidates = candidateSegments(past, isAlwaysKept);
  const stored = candidates.filter(([name]) => name !== 'rest');
  const costs = (stored.length > 0 ? stored : candidates).map(([, segment]) => costOf(segment));
  if (costs.length === 0) {
    if (store.exact !== true) return Infinity; // nothing is stored yet
    costs.push(costOf(past.recent));
  }
  // exact tokens of a former plan are few once some are stored: they cost what they take
  const apart = [...finerSegments, ...(stored.length > 0 ? ['rest'] : [])].flatMap(
    name => past.held[name] ?? [],
  );
  const taken = apart.reduce((sum, segment) => sum + segment.tokens * costOf(segment).perToken, 0);
  const shared = store.lendsTables === true ? 0 : costs.reduce((sum, cost) => sum + cost.shared, 0);
  const room = (bytes - shared - taken) / Math.max(...costs.map(({perToken}) => perToken));
  return Math.max(
    0,
    apart.reduce((sum, {tokens}) => sum + tokens, Math.floor(room)),
  );
}

/** Evicts the oldest tokens of a window of exact tokens, which all are in `recent`. */
function dropOldest(past: Past, window: number): Past {
  const over = past.recent.tokens - window;
  if (over <= 0) return past;
  const dropped = over + earlyTokens(window);
  return withEvicted({...past, recent: withoutOldest(past.recent, dropped)}, dropped);
}

/** The segments whose tokens can be evicted, by name. */
function candidateSegments({held}: Past, stays = areSinks): [name: string, segment: Segment][] {
  return Object.entries(held).filter(([name, {tokens}]) => !stays(name) && tokens > 0);
}

/** Segments that stay when a prompt is cut: finer ones do not, since what stays was said. */
const areSinks = (name: string): boolean => name === 'sinks';

/** Returns how many tokens per head can be evicted. See `withCandidates`. */
export function candidateTokens(ready: Past): number {
  return candidateSegments(ready).reduce((sum, [, {tokens}]) => sum + tokens, 0);
}

/** The scores of all candidates: of each segment, float32 `[batch, kvHeads, tokens, 1]`. See `withCandidates`. */
export function candidateScores(policy: Policy, ready: Past, context: Context): tf.Tensor4D[] {
  return judged(policy, ready, context, candidateSegments(ready)).scores;
}

function judged(
  policy: Policy,
  ready: Past,
  context: Context,
  candidates: readonly [name: string, segment: Segment][],
): Judged {
  const segments = candidates.map(([, segment]) => segment);
  return judge(policy.keep, segments, sinksWithin(policy, ready), ready, context);
}

/** How many of the first tokens may be among the candidates. */
function sinksWithin(policy: Policy, past: Past): number {
  return holdsSinksWithin(policy, past) ? policy.sinks : 0;
}

/**
 * Evicts all but `most` candidates per head, in whole blocks. See `withCandidates`.
 * @param stays by the name of a segment, whether its tokens are no candidates. Default: the first tokens are none.
 */
export function evictTo(
  most: number,
  policy: Policy,
  ready: Past,
  context: Context,
  stays: (name: string) => boolean = areSinks,
): Past {
  const {keep, store} = policy;
  const candidates = candidateSegments(ready, stays);
  const tokens = candidates.reduce((sum, [, segment]) => sum + segment.tokens, 0);
  const kept = wholeBlocks(most, store.blockTokens);
  if (kept >= tokens) return ready;
  const [[name, only]] = candidates as [[string, Segment]];
  const isRun = keep.score === undefined && !refits(keep) && typeof only.positions === 'number';
  if (candidates.length === 1 && isRun) {
    return withEvicted(withSegments(ready, {[name]: newestOf(only, kept, only.positions)}), tokens - kept);
  }
  const {scores, masses} = judged(policy, ready, context, candidates);
  const counts =
    candidates.length === 1
      ? [kept]
      : shares(
          scores,
          candidates.map(([, segment]) => segment),
          kept,
        );
  const best = candidates.map(([, segment], index) => {
    const [mass, score, count] = [masses?.[index], scores[index]!, counts[index]!];
    if (mass === undefined || count === 0 || count === segment.tokens) return bestOf(segment, score, count);
    const parts = partedByScore({segment, mass}, score, count);
    return refitted(parts.kept, parts.evicted, sinksWithin(policy, ready), policy, ready, context);
  });
  const left = best.reduce((sum, segment) => sum + segment.tokens, 0);
  const segments = Object.fromEntries(candidates.map(([of], index) => [of, best[index]!]));
  const past = withEvicted(withSegments(ready, segments), tokens - left);
  if (keep.refit !== 'leastSquares') return past;
  return withFittedValues(past, ready, Object.keys(segments), sinksWithin(policy, ready), keep, context);
}

/**
 * How many tokens each segment keeps, in whole blocks: as many of its tokens as are among the `kept` best of all segments, averaged over
 * heads. On GPU backends, which cannot be read synchronously, each segment keeps the same share of its tokens.
 */
function shares(scores: readonly tf.Tensor4D[], segments: readonly Segment[], kept: number): number[] {
  const tokens = segments.map(segment => segment.tokens);
  const total = tokens.reduce((sum, count) => sum + count, 0);
  const ends = tokens.map((_, index) => tokens.slice(0, index + 1).reduce((sum, count) => sum + count, 0));
  const all = tf.squeeze<tf.Tensor3D>(tf.concat([...scores], 2), [3]);
  const chosen = readableNumbers(tf.topk(all, kept).indices);
  const heads = all.shape[0] * all.shape[1];
  return segments.map((segment, index) => {
    const [from, end] = [ends[index - 1] ?? 0, ends[index]!];
    const wanted =
      chosen === undefined
        ? (kept * tokens[index]!) / total
        : chosen.filter(row => row >= from && row < end).length / heads;
    return wholeBlocks(wanted, blockTokensOf(segment));
  });
}

function withEvicted(past: Past, evicted: number): Past {
  const evictedTokens = past.events.evictedTokens + evicted;
  return {...past, events: {...past.events, evictedTokens}};
}
