import type * as tf from '@tensorflow/tfjs';
import type {AttentionCache, FreshTokens, KVCache, Policy} from '../../cache/index.js';
import {outputMetricOf} from '../../cache/binding/output_metric.js';
import type {Past} from '../../cache/past/past.js';
import {queriesKept} from '../../cache/past/query_window.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import {type Asked, type HeldToken, type Worth, worths} from './keeper_worth.js';
import {rotated} from './host_rows.js';
import type {ScoreDrift} from './score_replay.js';

/** How much a score that float32 computed may be off, relative: sums of products that cancel, over dozens of queries. */
const tolerance = 2e-3;

/**
 * Stands between a model and a cache whose keeper goes by the newest queries or by keys (`tova`, `snapKv`, `dropKv`, `keyDiff`,
 * `expectedAttention`). At each eviction it computes the score of every candidate by its definition, on the host and in float64: no token
 * may be gone whose score is clearly above that of one that stayed.
 */
export class KeeperReplay implements AttentionCache {
  /** By depth and key head. */
  private readonly held: HeldToken[][][] = [];
  /** By depth and query head, the newest ones. */
  private readonly asked: Asked[][][] = [];
  private readonly evictedBefore: number[] = [];
  private readonly found = {scores: 0, worst: 0, evictions: 0, evictedTokens: 0, closeCalls: 0};
  private readonly faults: string[] = [];
  private readonly worth: Worth;

  /** @param inner what attends: the cache itself, or another wrapper of it. */
  constructor(
    private readonly cache: KVCache,
    private readonly policy: Policy,
    private readonly inner: AttentionCache = cache,
  ) {
    this.worth = worths[policy.keep.name]!;
  }

  /** Whether there is a definition of a policy's keeper to judge by. */
  static knows({keep}: Policy): boolean {
    return keep.name in worths;
  }

  get tokens(): number {
    return this.inner.tokens;
  }

  get beyondContext(): boolean {
    return this.cache.beyondContext;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const first = this.cache.tokensSeen(depth);
    const output = this.inner.attend(depth, fresh);
    this.takeIn(depth, fresh, first);
    const past = this.cache.past(depth)!;
    if (past.events.evictedTokens !== (this.evictedBefore[depth] ?? 0)) {
      this.evictedBefore[depth] = past.events.evictedTokens;
      this.judge(depth, past, fresh);
    }
    return output;
  }

  compare(): Promise<ScoreDrift> {
    return Promise.resolve({...this.found, faults: [...this.faults]});
  }

  private takeIn(depth: number, {queries, keys, values, rope}: FreshTokens, first: number): void {
    if (queries.shape[0] !== 1) throw new Error('the replay is of one text');
    const [keyRows, valueRows, queryRows] = [keys, values, queries].map(rowsByHead);
    const held = (this.held[depth] ??= keyRows!.map(() => []));
    held.forEach((tokens, head) => {
      keyRows![head]!.forEach((key, i) => {
        const position = first + i;
        tokens.push({position, key: rotated(key, position, rope), value: valueRows![head]![i]!});
      });
    });
    const most = queriesKept(this.policy.keep) ?? 0;
    const asked = (this.asked[depth] ??= queryRows!.map(() => []));
    asked.forEach((ofHead, head) => {
      queryRows![head]!.forEach((plain, i) => {
        ofHead.push({position: first + i, plain, rotated: rotated(plain, first + i, rope)});
      });
      ofHead.splice(0, Math.max(0, ofHead.length - most));
    });
  }

  /** Sees that the right tokens went, and forgets them. */
  private judge(depth: number, past: Past, fresh: FreshTokens): void {
    const heads = this.held[depth]!;
    const firstRecent = past.recent.positions;
    const kept = keptPositions(past, heads.length);
    const count = Math.max(1, past.tokensSeen - firstRecent);
    const scores = this.worth({
      heads,
      candidates: heads.map(tokens => tokens.filter(({position}) => position < firstRecent)),
      asked: this.asked[depth]!.map(ofHead => ofHead.slice(-count)),
      scale: fresh.scale ?? 1 / Math.sqrt(fresh.queries.shape[3]),
      options: this.policy.keep.options,
      sinks: this.policy.sinks,
      tokensSeen: past.tokensSeen,
      rope: fresh.rope,
      metric: metricOf(fresh.layer),
    });
    heads.forEach((tokens, head) => {
      const gone: number[] = [];
      let least = Infinity;
      tokens
        .filter(({position}) => position < firstRecent)
        .forEach(({position}, i) => {
          const score = scores[head]![i]!;
          if (!kept[head]!.has(position)) gone.push(score);
          else if (position >= this.policy.sinks) least = Math.min(least, score);
        });
      const best = gone.reduce((most, score) => Math.max(most, score), -Infinity);
      const slack = tolerance * Math.max(Math.abs(best), Math.abs(least));
      if (best > least + slack && this.faults.length < 20) {
        this.faults.push(
          `depth ${depth}, head ${head}, token ${past.tokensSeen}: ${best} went and ${least} stayed`,
        );
      }
      this.found.closeCalls += gone.filter(score => score > least).length;
      this.found.evictedTokens += gone.length;
      this.found.scores += scores[head]!.length;
      this.found.evictions++;
      heads[head] = tokens.filter(({position}) => position >= firstRecent || kept[head]!.has(position));
    });
  }
}

function keptPositions({held}: Past, heads: number): Set<number>[] {
  const {stored} = held;
  if (stored === undefined || typeof stored.positions === 'number')
    throw new Error('nothing was evicted by score');
  const listed = hostNumbers(stored.positions);
  const rows = listed.length / heads;
  return Array.from(
    {length: heads},
    (_, head) => new Set(listed.subarray(head * rows, head * rows + stored.tokens)),
  );
}

/** G of each query head, `[dimV * dimV]`. */
function metricOf(layer: object | undefined): ArrayLike<number>[] | undefined {
  const metric = outputMetricOf(layer)?.();
  if (metric === undefined) return undefined;
  const numbers = hostNumbers(metric);
  const [heads, dim] = metric.shape;
  return Array.from({length: heads}, (_, head) => numbers.subarray(head * dim * dim, (head + 1) * dim * dim));
}

/** The rows of each head of one text. */
function rowsByHead(x: tf.Tensor4D): Float64Array[][] {
  const [, heads, tokens, dim] = x.shape;
  const numbers = hostNumbers(x);
  return Array.from({length: heads}, (_, head) =>
    Array.from({length: tokens}, (_token, i) => {
      const at = (head * tokens + i) * dim;
      return Float64Array.from(numbers.subarray(at, at + dim));
    }),
  );
}
