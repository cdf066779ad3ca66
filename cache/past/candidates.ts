import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {tileTokens} from '../../ops/attention/attend/reference.js';
import {visibleTokens} from '../../ops/attention/attend/visibility.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {attentionStatistics} from '../../ops/attention/statistics/index.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {AskedQueries, CandidateTile, Candidates, Context, Keeper} from '../contract.js';
import {attendOptions, attendedKeys, partialsOfPast} from './attend_past.js';
import {decodeKeys} from './decode.js';
import type {Past, Segment} from './past.js';
import {newestQueries} from './query_window.js';
import {positionsOf} from './segments.js';

// The tokens that a keeper chooses from, and what it may ask about them. What costs something is computed when it is asked for.

/**
 * Returns a keeper's scores of the tokens of some segments, float32 `[batch, kvHeads, tokens, 1]`, one for each segment. Inside the
 * caller's tidy.
 *
 * @param sinks tokens of the text that stay whatever their score; they may be in the first segment.
 */
export function scoresOf(
  keep: Keeper,
  segments: readonly Segment[],
  sinks: number,
  past: Past,
  context: Context,
): tf.Tensor4D[] {
  if (keep.score === undefined) return segments.map(positionsOf);
  const lasting = new LastingTensors();
  try {
    const candidates = candidatesOf(keep, segments, sinks, past, context, lasting);
    const score = scoreOfEach(keep.name, keep.score(candidates), candidates.positions.shape);
    return ofSegments(withSinks(score, candidates), segments);
  } finally {
    lasting.dispose();
  }
}

function withSinks(score: tf.Tensor4D, {positions, sinks}: Candidates): tf.Tensor4D {
  return sinks === 0 ? score : tf.where(tf.less(positions, sinks), tf.fill(score.shape, priceless), score);
}

function ofSegments(score: tf.Tensor4D, segments: readonly Segment[]): tf.Tensor4D[] {
  if (segments.length === 1) return [score];
  const sizes = segments.map(({tokens}) => tokens);
  return tf.split(score, sizes, 2);
}

/** Higher than all other scores. Not Infinity, because the TopK of tfjs compares by differences, and Infinity - Infinity is NaN. */
export const priceless = 3e38;

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
  keep: Keeper,
  segments: readonly Segment[],
  sinks: number,
  past: Past,
  context: Context,
  lasting: LastingTensors,
): Candidates {
  const asked = askedQueries(keep, segments, past, context, lasting);
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

const joined = (parts: readonly tf.Tensor[]): tf.Tensor4D =>
  parts.length === 1 ? (parts[0] as tf.Tensor4D) : tf.concat([...parts] as tf.Tensor4D[], 2);

/**
 * The newest queries and their attention over all tokens that are held, computed once. As many as see every candidate: those of the recent
 * tokens, all of which are newer.
 */
function askedQueries(
  {name, queries: most}: Keeper,
  segments: readonly Segment[],
  past: Past,
  context: Context,
  lasting: LastingTensors,
): () => AskedQueries {
  return memo(() => {
    const {queries: window, recent} = past;
    if (most === undefined || window === undefined) {
      throw new InvalidArgumentError(
        `The score of the keeper ${name} asks for queries; say how many of the newest ones it needs: {queries: 32}.`,
      );
    }
    const count = Math.min(most, window.tokens, Math.max(1, recent.tokens));
    const [rotated] = lasting.keep(() => [tf.clone(newestQueries(window, count))]) as [tf.Tensor4D];
    const partials = memo(() => lasting.keep(() => partialsOfPast(past, rotated, context)));
    const lastingOne = (make: () => tf.Tensor4D) => memo(() => lasting.keep(() => [make()])[0]!);
    const logSum = lastingOne(() => partialLogSum(partials()));
    return {
      count,
      rotated,
      scale: context.scale,
      outputs: lastingOne(() => mergePartials(partials())),
      logSum,
      mass: lastingOne(() =>
        joined(
          segments.map(segment =>
            tf.expandDims<tf.Tensor4D>(
              attentionStatistics(rotated, attendedKeys(segment.keys, context), logSum(), {
                ...attendOptions(segment, past, rotated, context),
                statistic: 'mass',
              }),
              3,
            ),
          ),
        ),
      ),
    };
  });
}

function memo<T>(make: () => T): () => T {
  let made: {readonly value: T} | undefined;
  return () => (made ??= {value: make()}).value;
}

/** Tensors that are computed while a tile is scored and outlive the tidy of that tile, until all scores are there. */
class LastingTensors {
  readonly #tensors: tf.Tensor[] = [];

  keep(make: () => tf.Tensor4D[]): tf.Tensor4D[] {
    const made = tf.tidy(make);
    for (const tensor of made) this.#tensors.push(tf.keep(tensor));
    return made;
  }

  dispose(): void {
    tf.dispose(this.#tensors);
  }
}

function tilesOf(segment: Segment, asked: () => AskedQueries, past: Past, context: Context): CandidateTile[] {
  const {rope, latentKeys} = context;
  const seen = {...segment, keys: attendedKeys(segment.keys, context)};
  const rotated = {rope: latentKeys === undefined ? rope : latentKeys.rope, tokensSeen: past.tokensSeen};
  return Array.from({length: Math.ceil(segment.tokens / tileTokens)}, (_, index) => {
    const from = index * tileTokens;
    const count = Math.min(tileTokens, segment.tokens - from);
    const keys = memo(() => decodeKeys(seen, rotated, from, count));
    return {
      keys,
      values: memo(() => decodeEncoding(segment.values, from, count)),
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
  const scores = tf.mul(
    batchedMatMul<tf.Tensor4D>(tf.reshape(rotated, [batch, kvHeads, rows, dim]), keys, {transposeB: true}),
    options.scale,
  );
  const p = tf.exp(tf.minimum(tf.sub(scores, grouped(logSum())), 0)); // a large score is rounded differently from the sum
  const visible = visibleTokens(options, rows, queryTokens, from, count);
  const masked = visible === undefined ? p : tf.where(visible, p, tf.zerosLike(p));
  return tf.reshape(masked, [batch, heads, queryTokens, count]);
}
