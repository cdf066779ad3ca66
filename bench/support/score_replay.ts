import type * as tf from '@tensorflow/tfjs';
import type {AttentionCache, FreshTokens, KVCache} from '../../cache/index.js';
import {type Past, segmentsOf} from '../../cache/past/past.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {EvictionRule} from './eviction_rule.js';
import {type HostKey, type Share, attention, rounding} from './host_attention.js';
import {type HostSegment, hostSegment, rotated} from './host_rows.js';

/** What a replay found so far. */
export interface ScoreDrift {
  /** Scores that were compared, or that evictions were judged by. */
  readonly scores: number;
  /** The largest difference of a score from the one in float64, relative to that (or to 1 if it is less). */
  readonly worst: number;
  /** Evictions that were judged: how many heads, and how many tokens went. */
  readonly evictions: number;
  readonly evictedTokens: number;
  /** Of these, tokens that float64 would have kept: of worth so near to a kept one's that float32's rounding decides. */
  readonly closeCalls: number;
  /** Scores and evictions that rounding does not explain. */
  readonly faults: readonly string[];
}

/** A token that a head holds. Its score in float64, and the least and the most that float32 may have made of it. */
interface Held extends HostKey {
  readonly position: number;
  score: number;
  least: number;
  most: number;
}

/**
 * Stands between a model and a cache whose policy uses attention scores (`h2o`, `lru`, `lfu`), and attends once more, on the host
 * and in float64, with the queries and keys that come in, over the tokens that are held: so it has every score that the policy
 * must have, with the interval that float32 leaves around it. After each eviction no token may be gone whose worth is surely
 * above that of one that stayed.
 *
 * With the cache it shares the frequencies of the rotation, and no other code.
 */
export class ScoreReplay implements AttentionCache {
  /** By depth and key head. */
  private readonly held: Held[][][] = [];
  private readonly evictedBefore: number[] = [];
  private readonly found = {scores: 0, worst: 0, evictions: 0, evictedTokens: 0, closeCalls: 0};
  private readonly faults: string[] = [];

  /** @param inner what attends: the cache itself, or another wrapper of it. */
  constructor(
    private readonly cache: KVCache,
    private readonly rule: EvictionRule,
    private readonly inner: AttentionCache = cache,
  ) {}

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
      this.judgeEviction(depth, past);
    }
    return output;
  }

  /** Compares all scores that the cache holds now. */
  async compare(): Promise<ScoreDrift> {
    for (const [depth, heads] of this.held.entries()) {
      const stored = await Promise.all(segmentsOf(this.cache.past(depth)!).map(hostSegment));
      for (const [head, tokens] of heads.entries())
        this.compareHead(`depth ${depth}, head ${head}`, tokens, stored, head);
    }
    return {...this.found, faults: [...this.faults]};
  }

  private compareHead(
    where: string,
    tokens: readonly Held[],
    stored: readonly HostSegment[],
    head: number,
  ): void {
    const known = new Map(tokens.map(token => [token.position, token]));
    for (const {positions, scores} of stored) {
      for (const [row, position] of positions[head]!.entries()) {
        const token = known.get(position);
        const score = scores?.[head]?.[row];
        if (token === undefined || score === undefined) {
          this.fault(`${where} holds position ${position}, which must be gone, or has no score for it`);
          continue;
        }
        this.found.scores++;
        this.found.worst = Math.max(
          this.found.worst,
          Math.abs(score - token.score) / Math.max(1, token.score),
        );
        if (!(score >= token.least && score <= token.most)) {
          this.fault(`${where}, position ${position}: the score is ${score}, and ${token.score} in float64`);
        }
      }
    }
  }

  /** The first ones are enough to know, and all of a long run are many. */
  private fault(text: string): void {
    if (this.faults.length < 20) this.faults.push(text);
  }

  /** Adds the fresh tokens, and what the attention of their queries gives to each token. */
  private takeIn(depth: number, fresh: FreshTokens, first: number): void {
    const {queries, keys, rope} = fresh;
    const [batch, heads, count, dim] = queries.shape;
    const kvHeads = keys.shape[1];
    if (batch !== 1 || fresh.keyBasis !== undefined)
      throw new Error('the replay is of one text, of plain keys');
    const scale = fresh.scale ?? 1 / Math.sqrt(dim);
    const ofHeads = (this.held[depth] ??= Array.from({length: kvHeads}, () => []));
    const rows = (side: tf.Tensor4D, head: number) =>
      rowsOf(hostNumbers(side), head, count, dim, first, rope);
    for (const [kvHead, tokens] of ofHeads.entries()) {
      for (const [i, key] of rows(keys, kvHead).entries()) tokens.push(this.freshToken(first + i, key));
      const group = Array.from({length: heads / kvHeads}, (_, i) => kvHead * (heads / kvHeads) + i);
      const queriesOfGroup = group.map(head => rows(queries, head));
      for (let query = 0; query < count; query++) {
        const seen = tokens.slice(0, tokens.length - count + query + 1);
        const shares = queriesOfGroup.map(ofHead => attention(ofHead[query]!, seen, scale));
        for (const [i, token] of seen.entries())
          this.credit(
            token,
            shares.map(head => head[i]!),
            first + query,
          );
      }
    }
  }

  private freshToken(position: number, key: Float64Array): Held {
    const score = this.rule.statistic === 'lastUse' ? position : 0;
    return {position, key, length: Math.hypot(...key), score, least: score, most: score};
  }

  /** What the heads of a group give to a token in one query at `position`. */
  private credit(token: Held, shares: readonly Share[], position: number): void {
    const {statistic, threshold} = this.rule;
    if (statistic === 'mass') {
      for (const {p, error} of shares) {
        token.score += p;
        // the addition to the group's mass and to the score round once each
        token.least += p - error;
        token.most += p + error;
      }
      token.least -= rounding * (shares.length + 1) * token.score;
      token.most += rounding * (shares.length + 1) * token.score;
      return;
    }
    const used = (bound: (share: Share) => number) => shares.some(share => bound(share) >= threshold);
    const next = (score: number) => (statistic === 'uses' ? score + 1 : Math.max(score, position));
    if (used(({p}) => p)) token.score = next(token.score);
    if (used(({p, error}) => p - error)) token.least = next(token.least);
    if (used(({p, error}) => p + error)) token.most = next(token.most);
  }

  /** Sees that the right tokens went, and forgets them. */
  private judgeEviction(depth: number, past: Past): void {
    const {budget, recentBudget, sinks} = this.rule;
    const heavy = past.held['stored'];
    const listed = heavy === undefined ? new Float32Array() : hostNumbers(heavy.positions as tf.Tensor4D);
    const heads = this.held[depth]!;
    for (const [head, tokens] of heads.entries()) {
      const where = `depth ${depth}, head ${head}, token ${past.tokensSeen}`;
      const perHead = listed.length / heads.length;
      const kept = new Set(listed.subarray(head * perHead, head * perHead + (heavy?.tokens ?? 0)));
      const firstRecent = past.recent.positions;
      const stay = tokens.filter(({position}) => position >= firstRecent || kept.has(position));
      const gone = tokens.filter(({position}) => position < firstRecent && !kept.has(position));
      if (
        past.tokensSeen - firstRecent < recentBudget ||
        kept.size > budget ||
        gone.some(({position}) => position < sinks)
      ) {
        this.fault(`${where}: a recent token or a sink went, or ${kept.size} stay of a budget of ${budget}`);
      }
      // as few as 15 below the budget, and less than a sixteenth
      if (kept.size <= budget - Math.min(16, Math.ceil(budget / 16))) {
        this.fault(`${where}: only ${kept.size} stay of a budget of ${budget}`);
      }
      this.judgeHead(
        where,
        stay.filter(({position}) => position < firstRecent && position >= sinks),
        gone,
        past.tokensSeen,
      );
      heads[head] = stay;
      this.found.evictions++;
      this.found.evictedTokens += gone.length;
    }
  }

  private judgeHead(where: string, stay: readonly Held[], gone: readonly Held[], seen: number): void {
    const worth = (bound: 'least' | 'score' | 'most') => (token: Held) =>
      this.rule.worth(token[bound], token.position, seen);
    // the fraction that breaks ties is rounded with the score that it is added to
    const slack = (token: Held) =>
      rounding * 2 * Math.abs(worth('most')(token)) + (token.score > 0 ? 0 : 1e-9);
    const leastKept = stay.reduce<Held | undefined>(
      (a, b) => (a && worth('most')(a) < worth('most')(b) ? a : b),
      undefined,
    );
    if (leastKept === undefined) return;
    const lowest = stay.reduce((least, token) => Math.min(least, worth('score')(token)), Infinity);
    for (const token of gone) {
      if (worth('score')(token) > lowest) this.found.closeCalls++;
      if (worth('least')(token) - slack(token) > worth('most')(leastKept) + slack(leastKept)) {
        this.fault(
          `${where}: position ${token.position} went, of worth ${worth('score')(token)}, and ${leastKept.position} stayed, of ` +
            `worth ${worth('score')(leastKept)}`,
        );
      }
    }
  }
}

/** The rows of one head, rotated to their positions. */
function rowsOf(
  numbers: Float32Array | Int32Array,
  head: number,
  tokens: number,
  dim: number,
  first: number,
  rope: RopeConfig | undefined,
): Float64Array[] {
  return Array.from({length: tokens}, (_, token) => {
    const at = (head * tokens + token) * dim;
    return rotated(numbers.subarray(at, at + dim), first + token, rope);
  });
}
