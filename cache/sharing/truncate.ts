import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import {CacheStateError} from '../../base/errors.js';
import {type Encoding, mapTensors} from '../../ops/encodings/encoding.js';
import {
  type DenseSegment,
  type Past,
  type Segment,
  oldestSeen,
  segmentsOf,
  tokensHeld,
} from '../past/past.js';
import type {Policy} from '../contract.js';
import {decodeTokens, hostPositions} from '../past/decode.js';
import {kept as keptTensors, sharePast, stillHeld} from '../past/past_tensors.js';
import {withoutNewestQueries} from '../past/query_window.js';
import {settled} from '../past/undecided.js';
import type {RopeTables} from '../past/rope_tables.js';
import {blockTokensOf, dense, rowsFrom} from '../past/segments.js';
import type {CacheState, Seen} from '../state.js';

/**
 * Keeps only the first `tokens` tokens of a cache: see `KVCache.truncate`.
 * @param tokens from 1 to the tokens in the cache.
 * @param known pasts of `tokens` tokens, which take the place of what some depths have. Default: none.
 */
export async function truncate(
  state: CacheState,
  tokens: number,
  known: readonly (Past | undefined)[] = [],
): Promise<void> {
  const present = [...state.pasts];
  const former = present.map((past, depth) => known[depth] ?? past!);
  const before = await Promise.all(
    former.map((past, depth) =>
      past.tokensSeen === tokens
        ? Promise.resolve([])
        : stillHeld(past, () => tokensBefore(past, tokens, state.policies[depth]!)),
    ),
  );
  if (present.some((past, depth) => past !== state.pasts[depth])) {
    throw new CacheStateError(
      'This cache changed while truncate was running; await truncate before the next step.',
    );
  }
  const pasts: Past[] = [];
  tf.tidy(() => {
    for (const [depth, past] of former.entries()) {
      pasts.push(truncated(past, tokens, before[depth]!, state.policies[depth]!, state.seen[depth]!));
    }
    for (const past of pasts) keptTensors({past});
  });
  for (const [depth, past] of pasts.entries()) {
    if (known[depth] !== undefined) {
      sharePast(past); // with whoever knew it, before what the cache shares with it is freed
      state.replace(depth, undefined);
    }
    state.replace(depth, past);
  }
}

/**
 * Returns how many tokens of each held segment come before a position; read from the backend.
 * @throws CacheStateError if heads differ in that number, if a segment is not in text order, or if tokens of other segments lie between those
 *   of a block that has to be cut.
 */
async function tokensBefore(past: Past, position: number, policy: Policy): Promise<number[]> {
  return Promise.all(
    Object.values(past.held).map(async segment => {
      const heads = (await hostPositions(segment)).map(row => Array.from(row));
      const [first, ...others] = heads.map(row => row.filter(at => at < position).length);
      const ascends = heads.every(row => row.every((at, i) => i === 0 || at > row[i - 1]!));
      const whole = wholeTokens(segment, first!);
      // those of a block that is cut in two become the recent run, so they must be the last ones
      const isRun = first === whole || heads.every(row => row[whole] === position - (first! - whole));
      if (ascends && others.every(count => count === first) && isRun) return first!;
      throw new CacheStateError(
        `Tokens were evicted, or lost bits, by their scores (the policy is ${policy.name} now), so that no segment has the first ${position} ` +
          `tokens of the text in order. ${advice}`,
      );
    }),
  );
}

/**
 * Returns a past with only the first `tokens` tokens, as they are stored now. Shortened segments are copied into new buffers, so that no
 * later tokens remain. Tokens of a block that is cut in two are decoded. Inside the caller's tidy; both pasts share the tensors of
 * segments that stay whole.
 *
 * @param before the result of `tokensBefore` for `tokens`.
 * @throws CacheStateError if tokens were evicted, or if later tokens changed the factors that store earlier ones.
 */
function truncated(
  whole: Past,
  tokens: number,
  before: readonly number[],
  policy: Policy,
  {rope, window}: Seen,
): Past {
  if (tokens === whole.tokensSeen) return whole;
  const past = settled(whole);
  const evicted = past.tokensSeen - tokensHeld(past);
  if (evicted > oldestSeen({tokensSeen: tokens}, window) || (evicted > 0 && !isNewestRun(past))) {
    throw new CacheStateError(
      `${evicted} of ${past.tokensSeen} tokens were evicted (the policy is ${policy.name} now` +
        `${window === undefined ? '' : `, the layer's window ${window} tokens`}), which a cache of ${tokens} tokens might still hold. ${advice}`,
    );
  }
  const first = past.recent.positions;
  const queries = past.queries && withoutNewestQueries(past.queries, past.tokensSeen - tokens);
  if (tokens >= first) {
    return {...past, queries, recent: recentOf(past.recent, tokens - first, policy.keep), tokensSeen: tokens};
  }
  if (Object.keys(past.extras ?? {}).length > 0) {
    throw new CacheStateError(
      `${policy.name} stores the first ${first} tokens in factors that depend on all of them, so the cache cannot be cut to ${tokens} ` +
        `tokens, only to ${first} or more. ${advice}`,
    );
  }
  const held: Record<string, Segment> = {};
  let tail: DenseSegment | undefined;
  for (const [index, [name, segment]] of Object.entries(past.held).entries()) {
    const kept = before[index]!;
    const whole = wholeTokens(segment, kept);
    if (whole === segment.tokens) held[name] = segment;
    else if (whole > 0) held[name] = withoutNewest(segment, whole);
    if (kept > whole) tail = decodedTail(segment, whole, kept - whole, tokens, rope);
  }
  return {...past, held, queries, recent: tail ?? emptyRun(past.recent, tokens), tokensSeen: tokens};
}

/** Whether a past holds the newest tokens without a gap, as windows of layers leave them. */
function isNewestRun(past: Past): boolean {
  const first = past.tokensSeen - tokensHeld(past);
  return segmentsOf(past).every(({positions}) => typeof positions === 'number' && positions >= first);
}

const advice = 'fork() the cache before tokens that may be undone, or reset() it and compute the text again.';

/** How many of the kept tokens can stay in their segment: whole blocks; none of an exact run, which becomes `recent`. */
function wholeTokens(segment: Segment, kept: number): number {
  const {keys, values, positions, tokens} = segment;
  if (kept === tokens) return kept;
  if (keys.kind === 'dense' && values.kind === 'dense' && typeof positions === 'number') return 0;
  const block = blockTokensOf(segment);
  return Math.floor(kept / block) * block;
}

function withoutNewest({keys, values, positions, scores}: Segment, tokens: number): Segment {
  return {
    keys: firstTokensOf(keys, tokens),
    values: firstTokensOf(values, tokens),
    tokens,
    positions: typeof positions === 'number' ? positions : rowsFrom(positions, 0, tokens),
    ...(scores && {scores: rowsFrom(scores, 0, Math.min(tokens, scores.shape[2]))}),
  };
}

function firstTokensOf(encoding: Encoding, tokens: number): Encoding {
  return mapTensors(encoding, (tensor, _, {tokensPerRow}) =>
    tokensPerRow === Infinity ? tensor : rowsFrom(tensor, 0, tokens / tokensPerRow),
  );
}

/** Returns the recent run with fewer tokens and their scores. A `lastUse` is at most the position of the last token. */
function recentOf(recent: DenseSegment, tokens: number, {observes}: Policy['keep']): DenseSegment {
  if (tokens === 0) return emptyRun(recent, recent.positions);
  const {keys, values, positions, scores} = recent;
  const cut = scores && rowsFrom(scores, 0, Math.min(tokens, scores.shape[2]));
  return {
    keys: dense(rowsFrom(keys.data, 0, tokens)),
    values: dense(rowsFrom(values.data, 0, tokens)),
    tokens,
    positions,
    scores:
      cut && (observes?.statistic === 'lastUse' ? tf.minimum<tf.Tensor4D>(cut, positions + tokens - 1) : cut),
  };
}

/** Returns a run without tokens, to which the next ones are appended. Its tensors have one row, because they must not be empty. */
function emptyRun({keys, values}: DenseSegment, positions: number): DenseSegment {
  const none = ({data: {shape}}: typeof keys) => dense(tf.zeros([shape[0], shape[1], 1, shape[3]]));
  return {keys: none(keys), values: none(values), tokens: 0, positions};
}

/** Decodes `tokens` tokens of a segment, starting at `from`, to the recent run of a text that ends at position `end`. */
function decodedTail(
  segment: Segment,
  from: number,
  tokens: number,
  end: number,
  rope: RopeTables | undefined,
): DenseSegment {
  const {keys, values} = decodeTokens(segment, {rope, tokensSeen: end}, from, tokens);
  const own = (x: tf.Tensor4D) => dense(append(undefined, x, 0, tokens));
  return {keys: own(keys.data), values: own(values.data), tokens, positions: end - tokens};
}
