import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {CacheStateError} from '../../base/errors.js';
import {type Encoding, mapTensors, tensorsOf} from '../../ops/encodings/encoding.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {type DenseSegment, type Past, type Segment, tokensHeld} from '../past/past.js';
import type {Policy} from '../policy.js';
import type {RopeTables} from '../past/rope_tables.js';
import {dense, leastCommonMultiple} from '../past/segments.js';

/** How many tokens of each held segment come before a position, in every head alike; read from the backend. */
export async function tokensBefore(past: Past, position: number, policy: Policy): Promise<number[]> {
  return Promise.all(
    Object.values(past.held).map(async ({positions, tokens}) => {
      if (typeof positions === 'number') return Math.min(tokens, Math.max(0, position - positions));
      const [batch, kvHeads, rows] = positions.shape;
      const numbers = await positions.data();
      const before = Array.from(
        {length: batch * kvHeads},
        (_, head) => numbers.subarray(head * rows, head * rows + tokens).filter(at => at < position).length,
      );
      const ascends = numbers.subarray(1, tokens).every((at, i) => at > numbers[i]!);
      if (ascends && before.every(count => count === before[0])) return before[0]!;
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
 * @throws CacheStateError where tokens were evicted, or are folded into factors that the later ones shaped too.
 */
export function truncated(
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
    return {...past, recent: recentOf(past.recent, tokens - first, policy), tokensSeen: tokens};
  }
  if (Object.keys(past.extras ?? {}).length > 0) {
    throw new CacheStateError(
      `${policy.name} has folded the first ${first} tokens into factors that all of them shaped, so that ${tokens} of them ` +
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
function wholeBlocks({keys, values, positions}: Segment, kept: number): number {
  if (keys.kind === 'dense' && values.kind === 'dense' && typeof positions === 'number') return 0;
  const rows = [keys, values].flatMap(encoding =>
    Object.values(tensorsOf(encoding)).map(({tokensPerRow}) => tokensPerRow),
  );
  const block = rows.filter(Number.isFinite).reduce(leastCommonMultiple, 1);
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
function recentOf(recent: DenseSegment, tokens: number, {observes}: Policy): DenseSegment {
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
  {keys, values}: Segment,
  from: number,
  tokens: number,
  end: number,
  rope: RopeTables | undefined,
): DenseSegment {
  const raw = decodeEncoding(keys, from, tokens);
  const unrotated = keys.kind === 'lowRank' && keys.rotate === true && rope !== undefined;
  const own = (x: tf.Tensor4D) => dense(append(undefined, x, 0, tokens));
  return {
    keys: own(unrotated ? rotate(raw, rope.rotation(end - tokens, tokens)) : raw),
    values: own(decodeEncoding(values, from, tokens)),
    tokens,
    positions: end - tokens,
  };
}
