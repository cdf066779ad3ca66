import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {tileTokens} from '../../ops/attention/attend/reference.js';
import {biasesOf} from '../../ops/attention/attend/stored_keys.js';
import {visibleTokens} from '../../ops/attention/attend/visibility.js';
import {scoresOf} from '../../ops/attention/scoring.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {AskedQueries, CandidateTile, Candidates, Context, Keeper} from '../contract.js';
import {LastingTensors, askedQueries, joined, memo} from './asked_queries.js';
import {attendOptions, attendedKeys} from './attend_past.js';
import {decodeKeys} from './decode.js';
import {type Past, type Segment, oldestSeen} from './past.js';
import {refitQueries, refits} from './query_window.js';
import {positionsOf} from './segments.js';

// The tokens that a keeper chooses from, and what it may ask about them. What costs something is computed when it is asked for.

/** What a keeper says of the tokens of some segments: float32 `[batch, kvHeads, tokens, 1]`, one tensor for each segment. */
export interface Judged {
  readonly scores: tf.Tensor4D[];
  /** The attention that each token receives, if the keeper refits. */
  readonly masses?: tf.Tensor4D[];
}

/**
 * Returns a keeper's scores of the tokens of some segments, and their attention if it refits. Inside the caller's tidy.
 *
 * @param sinks tokens of the text that stay whatever their score; they may be in the first segment.
 */
export function judge(
  keep: Keeper,
  segments: readonly Segment[],
  sinks: number,
  past: Past,
  context: Context,
): Judged {
  if (keep.score === undefined && !refits(keep)) return {scores: segments.map(positionsOf)};
  const lasting = new LastingTensors();
  try {
    const ofNewest = (count: number | undefined) =>
      askedQueries(keep.name, count, segments, past, context, lasting);
    const asked = ofNewest(keep.queries);
    const candidates = candidatesOf(asked, segments, sinks, past, context);
    const given = keep.score === undefined ? candidates.positions : keep.score(candidates);
    const score = scoreOfEach(keep.name, given, candidates.positions.shape);
    const unseen = (x: tf.Tensor4D, as: number) => withUnseen(x, as, candidates, context.window);
    const scores = ofSegments(unseen(withSinks(score, candidates), worthless), segments);
    if (!refits(keep)) return {scores};
    return {scores, masses: ofSegments(unseen(massesOf(keep, candidates, ofNewest), 0), segments)};
  } finally {
    lasting.dispose();
  }
}

/** The attention of all queries so far if it is observed, otherwise that of the newest ones. */
function massesOf(
  {observes, queries = 0}: Keeper,
  candidates: Candidates,
  ofNewest: (count: number) => () => AskedQueries,
): tf.Tensor4D {
  if (observes?.statistic === 'mass') return candidates.attention;
  const asked = queries >= refitQueries ? candidates.queries() : ofNewest(refitQueries)();
  return tf.clone(asked.mass()); // which lasts no longer than the scores take
}

function withSinks(score: tf.Tensor4D, {positions, sinks}: Candidates): tf.Tensor4D {
  return sinks === 0 ? score : tf.where(tf.less(positions, sinks), tf.fill(score.shape, priceless), score);
}

/** Another number for tokens that no later query sees: these go first, and none takes over their attention. */
function withUnseen(
  x: tf.Tensor4D,
  as: number,
  {positions, tokensSeen}: Candidates,
  window: number | undefined,
): tf.Tensor4D {
  const oldest = oldestSeen({tokensSeen}, window);
  return oldest === 0 ? x : tf.where(tf.less(positions, oldest), tf.fill(x.shape, as), x);
}

function ofSegments(score: tf.Tensor4D, segments: readonly Segment[]): tf.Tensor4D[] {
  if (segments.length === 1) return [score];
  const sizes = segments.map(({tokens}) => tokens);
  return tf.split(score, sizes, 2);
}

/** Higher than all other scores. Not Infinity, because the TopK of tfjs compares by differences, and Infinity - Infinity is NaN. */
export const priceless = 3e38;

/** Lower than all other scores, and so are sums of some. */
const worthless = -1e30;

/** @throws InvalidArgumentError if a keeper's score is not a tensor with a number for each token and head. */
function scoreOfEach(name: string, score: tf.Tensor, shape: tf.Tensor4D['shape']): tf.Tensor4D {
  const isTensor = (score as unknown) instanceof tf.Tensor; // plain JavaScript may return anything
  if (isTensor && tf.util.arraysEqual(score.shape, shape)) return tf.cast(score as tf.Tensor4D, 'float32');
  const returned = isTensor ? `a tensor [${score.shape.join(', ')}]` : shown(score);
  throw new InvalidArgumentError(
    `The score of the keeper ${name} returned ${returned}; expected a tensor [${shape.join(', ')}]: a number for each token and key head.`,
  );
}

function candidatesOf(
  asked: () => AskedQueries,
  segments: readonly Segment[],
  sinks: number,
  past: Past,
  context: Context,
): Candidates {
  const byTile: Candidates['byTile'] = score =>
    joined(
      segments.flatMap(segment =>
        tilesOf(segment, asked, past, context).map(tile => tf.tidy(() => score(tile))),
      ),
    );
  return {
    depth: context.depth,
    attention: joined(
      segments.map(segment => segment.scores ?? tf.zerosLike<tf.Tensor4D>(positionsOf(segment))),
    ),
    positions: joined(segments.map(positionsOf)),
    bias: joinedBias(segments),
    sinks,
    tokensSeen: past.tokensSeen,
    rope: context.latentKeys === undefined ? context.rope : context.latentKeys.rope,
    keys: () => byTile(tile => tile.keys()),
    values: () => byTile(tile => tile.values()),
    byTile,
    queries: () => asked(),
    outputMetric: () => context.outputMetric?.(),
  };
}

/** The biases of all candidates; undefined if none has any. */
function joinedBias(segments: readonly Segment[]): tf.Tensor4D | undefined {
  if (segments.every(({bias}) => bias === undefined)) return undefined;
  return joined(segments.map(segment => segment.bias ?? tf.zerosLike<tf.Tensor4D>(positionsOf(segment))));
}

/** Decodes a segment, at most so many tokens at a time. */
export function decodedTiles(
  segment: Segment,
  {tokensSeen}: Past,
  context: Context,
  most = tileTokens,
): (Pick<CandidateTile, 'keys' | 'values'> & {readonly from: number; readonly count: number})[] {
  const {rope, latentKeys} = context;
  const seen = {...segment, keys: attendedKeys(segment.keys, context)};
  const rotated = {rope: latentKeys === undefined ? rope : latentKeys.rope, tokensSeen};
  return Array.from({length: Math.ceil(segment.tokens / most)}, (_, index) => {
    const from = index * most;
    const count = Math.min(most, segment.tokens - from);
    return {
      from,
      count,
      keys: memo(() => decodeKeys(seen, rotated, from, count)),
      values: memo(() => decodeEncoding(segment.values, from, count)),
    };
  });
}

/** A segment, 512 tokens at a time. */
export function tilesOf(
  segment: Segment,
  asked: () => AskedQueries,
  past: Past,
  context: Context,
): (CandidateTile & {readonly from: number; readonly count: number})[] {
  return decodedTiles(segment, past, context).map(({keys, values, from, count}) => {
    return {
      ...{keys, values, from, count},
      attention: () =>
        probabilities(keys(), asked(), attendOptions(segment, past, asked().rotated, context), from),
    };
  });
}

/** The attention of queries to the tokens of a tile: float32 `[batch, heads, queries, tokens]`. */
function probabilities(
  keys: tf.Tensor4D,
  {rotated, logSum}: AskedQueries,
  options: ReturnType<typeof attendOptions>,
  from: number,
): tf.Tensor4D {
  const [batch, heads, queryTokens, dim] = rotated.shape;
  const [, kvHeads, count] = keys.shape;
  const rows = (heads / kvHeads) * queryTokens;
  const grouped = (x: tf.Tensor4D): tf.Tensor4D => tf.reshape(x, [batch, kvHeads, rows, x.shape[3]]);
  const scores = scoresOf(
    batchedMatMul<tf.Tensor4D>(tf.reshape(rotated, [batch, kvHeads, rows, dim]), keys, {transposeB: true}),
    options,
    biasesOf(options, rows, from, count),
  );
  const p = tf.exp(tf.minimum(tf.sub(scores, grouped(logSum())), 0)); // a large score is rounded differently from the sum
  const visible = visibleTokens(options, rows, queryTokens, from, count);
  const masked = visible === undefined ? p : tf.where(visible, p, tf.zerosLike(p));
  return tf.reshape(masked, [batch, heads, queryTokens, count]);
}
