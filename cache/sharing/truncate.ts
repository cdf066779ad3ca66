import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import {CacheStateError} from '../../base/errors.js';
import {type Encoding, mapTensors} from '../../ops/encodings/encoding.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {type DenseSegment, type Past, type Segment, tokensHeld} from '../past/past.js';
import type {Policy} from '../contract.js';
import {decodeTokens, hostPositions} from '../past/decode.js';
import {kept as keptTensors, stillHeld} from '../past/past_tensors.js';
import type {RopeTables} from '../past/rope_tables.js';
import {blockTokensOf, dense} from '../past/segments.js';
import type {CacheState} from '../state.js';

/**
 * Keeps the first `tokens` tokens of a cache only: see `KVCache.truncate`.
 * @param tokens from 1 to those that there are.
 */
export async function truncate(state: CacheState, tokens: number): Promise<void> {
  const former = state.pasts.map(past => past!);
  const before = await Promise.all(
    former.map((past, depth) =>
      past.tokensSeen === tokens
        ? Promise.resolve([])
        : stillHeld(past, () => tokensBefore(past, tokens, state.policies[depth]!)),
    ),
  );
  if (former.some((past, depth) => past !== state.pasts[depth])) {
    throw new CacheStateError(
      'This cache went on while it was to be truncated; await the one, then do the other.',
    );
  }
  const pasts: Past[] = [];
  tf.tidy(() => {
    for (const [depth, past] of former.entries()) {
      pasts.push(truncated(past, tokens, before[depth]!, state.policies[depth]!, state.seen[depth]!.rope));
    }
    for (const past of pasts) keptTensors({past});
  });
  pasts.forEach((past, depth) => state.replace(depth, past));
}

/** How many tokens of each held segment come before a position, in every head alike; read from the backend. */
async function tokensBefore(past: Past, position: number, policy: Policy): Promise<number[]> {
  return Promise.all(
    Object.values(past.held).map(async segment => {
      const heads = (await hostPositions(segment)).map(row => Array.from(row));
      const [first, ...others] = heads.map(row => row.filter(at => at < position).length);
      const ascends = heads.every(row => row.every((at, i) => i === 0 || at > row[i - 1]!));
      if (ascends && others.every(count => count === first)) return first!;
      throw new CacheStateError(`${policy.name} holds other tokens in one head than in another. ${advice}`);
    }),
  );
}

/**
 * A past with the first `tokens` tokens only, as they are stored now: what a codec lost of them stays lost. What is cut is
 * copied into buffers of its own, so that nothing of the other tokens is left; tokens of a block that would be torn come
 * back decoded. Inside the caller's tidy; segments that stay whole are the same tensors in both pasts.
 *
 * @param before what `tokensBefore` said of that position.
 * @throws CacheStateError where tokens were evicted, or went into factors that the later ones shaped too.
 */
function truncated(
  past: Past,
  tokens: number,
  before: readonly number[],
  policy: Policy,
  rope: RopeTables | undefined,
): Past {
  if (tokens === past.tokensSeen) return past;
  const evicted = past.tokensSeen - tokensHeld(past);
  if (evicted > 0) {
    throw new CacheStateError(
      `${policy.name} has evicted ${evicted} of ${past.tokensSeen} tokens, which a cache of ${tokens} would still hold. ${advice}`,
    );
  }
  const first = past.recent.positions;
  if (tokens >= first) {
    return {...past, recent: recentOf(past.recent, tokens - first, policy.keep), tokensSeen: tokens};
  }
  if (Object.keys(past.extras ?? {}).length > 0) {
    throw new CacheStateError(
      `${policy.name} has taken the first ${first} tokens into factors that all of them shaped, so that ${tokens} of them ` +
        `cannot be had alone; ${first} or more can. ${advice}`,
    );
  }
  const held: Record<string, Segment> = {};
  let tail: DenseSegment | undefined;
  for (const [index, [name, segment]] of Object.entries(past.held).entries()) {
    const kept = before[index]!;
    const whole = kept === segment.tokens ? kept : wholeBlocks(segment, kept);
    if (whole === segment.tokens) held[name] = segment;
    else if (whole > 0) held[name] = withoutNewest(segment, whole);
    if (kept > whole) tail = decodedTail(segment, whole, kept - whole, tokens, rope);
  }
  return {...past, held, recent: tail ?? emptyRun(past.recent, tokens), tokensSeen: tokens};
}

const advice = 'fork() before tokens that may be taken back, or reset() and take the text in anew.';

/** Of the tokens that stay, those which need not be taken out of their segment. Exact runs come out as a whole. */
function wholeBlocks(segment: Segment, kept: number): number {
  const {keys, values, positions} = segment;
  if (keys.kind === 'dense' && values.kind === 'dense' && typeof positions === 'number') return 0;
  const block = blockTokensOf(segment);
  return Math.floor(kept / block) * block;
}

function withoutNewest({keys, values, positions, scores}: Segment, tokens: number): Segment {
  return {
    keys: firstTokensOf(keys, tokens),
    values: firstTokensOf(values, tokens),
    tokens,
    positions: typeof positions === 'number' ? positions : firstRows(positions, tokens),
    ...(scores && {scores: firstRows(scores, Math.min(tokens, scores.shape[2]))}),
  };
}

function firstTokensOf(encoding: Encoding, tokens: number): Encoding {
  return mapTensors(encoding, (tensor, _, tokensPerRow) =>
    tokensPerRow === Infinity ? tensor : firstRows(tensor, tokens / tokensPerRow),
  );
}

/** A copy of the first rows of each head, exact for int32 too. */
function firstRows(tensor: tf.Tensor4D, rows: number): tf.Tensor4D {
  const heads = tensor.shape[0] * tensor.shape[1];
  return gatherRows(
    tensor,
    Int32Array.from({length: heads * rows}, (_, i) => i % rows),
  );
}

/** The newest run with fewer tokens. Their scores stay; none was used later than by the last token there is. */
function recentOf(recent: DenseSegment, tokens: number, {observes}: Policy['keep']): DenseSegment {
  if (tokens === 0) return emptyRun(recent, recent.positions);
  const {keys, values, positions, scores} = recent;
  const cut = scores && firstRows(scores, Math.min(tokens, scores.shape[2]));
  return {
    keys: dense(firstRows(keys.data, tokens)),
    values: dense(firstRows(values.data, tokens)),
    tokens,
    positions,
    scores:
      cut && (observes?.statistic === 'lastUse' ? tf.minimum<tf.Tensor4D>(cut, positions + tokens - 1) : cut),
  };
}

/** A run of no tokens that the next ones come into; a tensor has one row at least. */
function emptyRun({keys, values}: DenseSegment, positions: number): DenseSegment {
  const none = ({data: {shape}}: typeof keys) => dense(tf.zeros([shape[0], shape[1], 1, shape[3]]));
  return {keys: none(keys), values: none(values), tokens: 0, positions};
}

/** The last `tokens` of the kept ones of a segment, exact and rotated, as the newest run of a text that ends at `end`. */
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
