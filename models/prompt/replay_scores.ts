import * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import {outputMetricOf} from '../../cache/binding/output_metric.js';
import type {Candidates} from '../../cache/contract.js';
import {dots, timesMetric, toQueryHeads} from '../../cache/keepers/query_heads.js';
import type {KVCache} from '../../cache/kv_cache.js';
import {decodeTokens} from '../../cache/past/decode.js';
import {type Past, segmentsOf} from '../../cache/past/past.js';
import {RopeTables} from '../../cache/past/rope_tables.js';
import type {SeenTokens, Watcher} from '../../cache/watch/watched_cache.js';
import {scoresOf, scoringOf} from '../../ops/attention/scoring.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';

/** Tokens of the context that are replayed. */
interface Replayed {
  readonly from: number;
  readonly count: number;
}

/** The scores of all tokens of a context at each depth, gathered while chunks of it are replayed: see `kvzip`. It owns its tensors. */
export class ReplayScores {
  /** By depth: of each chunk, float32 `[batch, heads, tokens, 1]`. */
  readonly #chunks: tf.Tensor4D[][] = [];
  /** Of chunks so far. */
  #count = 0;

  /**
   * @param sinks first tokens of the context that every softmax includes.
   * @param seesAll whether a depth is scored: not if its window leaves out some of the context.
   */
  constructor(
    readonly sinks: number,
    readonly seesAll: (depth: number) => boolean,
  ) {}

  /** Returns what scores a chunk while it is replayed through a cache that holds the context. Chunks come in the order of the text. */
  watch(cache: KVCache, {from, count}: Replayed): Watcher {
    const start = cache.tokens;
    const index = this.#count++;
    return {
      see: (depth, fresh) => {
        if (!this.seesAll(depth)) return;
        const past = cache.past(depth)!;
        const ranges = [
          {from: 0, count: from === 0 ? 0 : Math.min(this.sinks, from)},
          {from, count},
          {from: start, count: past.tokensSeen - start},
        ];
        const most = mostAttention(past, fresh, ranges);
        const chunks = (this.#chunks[depth] ??= []);
        const before = chunks[index];
        chunks[index] = tf.keep(before === undefined ? most : tf.maximum(before, most));
        before?.dispose();
      },
    };
  }

  /** The scores of candidates, by their positions: float32 `[batch, kvHeads, tokens, 1]`. */
  of({depth, positions}: Candidates): tf.Tensor4D {
    const [batch, kvHeads, tokens] = positions.shape;
    const ofHeads = tf.concat(this.#chunks[depth]!, 2);
    const [, heads, all] = ofHeads.shape;
    const scores = tf.max(tf.reshape(ofHeads, [batch * kvHeads, heads / kvHeads, all]), 1);
    const rows = tf.mul(tf.reshape(tf.range(0, batch * kvHeads), [batch * kvHeads, 1]), all);
    const at = tf.add(tf.reshape(positions, [batch * kvHeads, tokens]), rows);
    return tf.reshape(tf.gather(tf.reshape(scores, [-1]), tf.cast(at, 'int32').flatten()), positions.shape);
  }

  dispose(): void {
    tf.dispose(this.#chunks);
    this.#chunks.length = 0;
  }
}

/**
 * For each token of the second range, the most attention that a fresh query gives to it over all three ranges, times the length of its value
 * in the metric of the output: float32 `[batch, heads, tokens, 1]`.
 */
function mostAttention(past: Past, fresh: SeenTokens, ranges: readonly Replayed[]): tf.Tensor4D {
  const {queries, rotation, window = Infinity, alibi, relativeBias} = fresh;
  if (window < past.tokensSeen || alibi === true || relativeBias !== undefined) {
    throw new ModelError(
      'kvzip: this model has layers with biases by distance (or a window that its shapes do not say), whose attention to a context far back is not what its tokens are worth; ' +
        'use compressPrompt.',
    );
  }
  const [batch, heads, count, dim] = queries.shape;
  const parts = ranges.map(range => tokensOf(past, range, fresh));
  const keys = tf.concat(
    parts.flatMap(part => (part === undefined ? [] : [part.keys])),
    2,
  );
  const [, kvHeads, all] = keys.shape;
  const rotated = rotation === undefined ? queries : rotate(queries, rotation);
  const grouped = tf.reshape<tf.Rank.R4>(rotated, [batch, kvHeads, (heads / kvHeads) * count, dim]);
  const products = scoresOf(
    batchedMatMul<tf.Tensor4D>(grouped, keys, {transposeB: true}),
    scoringOf(fresh, dim),
  );
  const scores = tf.reshape(products, [batch, heads, count, all]);
  // fresh tokens are the last ones; each query sees those up to its own
  const newest = tf.reshape(tf.range(all - count, all), [1, 1, count, 1]);
  const visible = tf.lessEqual(tf.reshape(tf.range(0, all), [1, 1, 1, all]), newest);
  const p = tf.softmax(tf.where(visible, scores, tf.fill(scores.shape, -1e30)));
  const first = ranges[0]!.count;
  const most = tf.max(tf.slice(p, [0, 0, 0, first], [-1, -1, -1, ranges[1]!.count]), 2);
  const values = toQueryHeads(parts[1]!.values, heads);
  const metric = outputMetricOf(fresh.layer)?.();
  const lengths = tf.sqrt(tf.relu(dots(timesMetric(values, metric), values)));
  return tf.mul(tf.reshape(most, lengths.shape), lengths);
}

interface Tokens {
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
}

/** Decoded keys, rotated, and values of a range of positions of a past that was never evicted from; undefined if the range is empty. */
function tokensOf(past: Past, {from, count}: Replayed, fresh: SeenTokens): Tokens | undefined {
  if (count === 0) return undefined;
  if (fresh.latentsOf !== undefined) {
    throw new ModelError('kvzip: this model stores latents in place of keys; use compressPrompt.');
  }
  const {rope: config, queries} = fresh;
  const rope = config && new RopeTables(config, queries.shape[3]);
  try {
    const runs = segmentsOf(past).flatMap(segment => {
      const first = segment.positions;
      if (typeof first !== 'number') return [];
      const [begin, end] = [Math.max(from, first), Math.min(from + count, first + segment.tokens)];
      return begin >= end
        ? []
        : [decodeTokens(segment, {rope, tokensSeen: past.tokensSeen}, begin - first, end - begin)];
    });
    runs.sort((a, b) => (a.positions as number) - (b.positions as number));
    return {
      keys: tf.concat(
        runs.map(({keys}) => keys.data),
        2,
      ),
      values: tf.concat(
        runs.map(({values}) => values.data),
        2,
      ),
    };
  } finally {
    rope?.dispose();
  }
}
