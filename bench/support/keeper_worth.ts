import type {Options} from '../../base/options.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {rotated} from './host_rows.js';

// The scores of keepers by their definitions, in float64 and one pair of a query and a token at a time.

export interface HeldToken {
  readonly position: number;
  /** Rotated. */
  readonly key: Float64Array;
  readonly value: Float64Array;
}

export interface Asked {
  readonly position: number;
  readonly plain: Float64Array;
  readonly rotated: Float64Array;
}

/** One depth when tokens have to go. */
export interface Eviction {
  /** All tokens held, by key head. */
  readonly heads: readonly (readonly HeldToken[])[];
  /** Those that can go. */
  readonly candidates: readonly (readonly HeldToken[])[];
  /** The newest queries that see all of them, by query head. */
  readonly asked: readonly (readonly Asked[])[];
  readonly scale: number;
  readonly options: Options;
  readonly sinks: number;
  readonly tokensSeen: number;
  readonly rope: RopeConfig | undefined;
  /** `W_O W_O^T` of each query head; absent for the identity. */
  readonly metric: readonly ArrayLike<number>[] | undefined;
}

/** The score of each candidate of each key head. */
export type Worth = (eviction: Eviction) => number[][];

export const worths: Readonly<Record<string, Worth>> = {
  tova(eviction) {
    const scores = masses(eviction);
    const shared = scores[0]!.map((_, i) => scores.reduce((sum, ofHead) => sum + ofHead[i]!, 0));
    return scores.map(() => shared);
  },

  snapKv(eviction) {
    const size = Number(eviction.options['pooling']);
    return masses(eviction).map((scores, head) => {
      const positions = eviction.candidates[head]!.map(({position}) => position);
      return positions.map((position, i) => {
        let sum = scores[i]!;
        for (const way of [-1, 1]) {
          for (let j = i + way; Math.abs((positions[j] ?? Infinity) - position) <= (size - 1) / 2; j += way)
            sum += scores[j]!;
        }
        return sum / size;
      });
    });
  },

  dropKv(eviction) {
    return forHeads(eviction, (head, kvHead, scores) => {
      const values = eviction.heads[kvHead]!;
      for (const query of eviction.asked[head]!) {
        const p = probabilities(query, values, eviction.scale);
        const output = new Float64Array(values[0]!.value.length);
        p.forEach((weight, i) => values[i]!.value.forEach((x, channel) => (output[channel]! += weight * x)));
        eviction.candidates[kvHead]!.forEach(({value}, i) => {
          const change = output.map((x, channel) => (x - value[channel]!) * (p[i]! / (1 - p[i]!)));
          scores[i]! += squared(change, eviction.metric?.[head]);
        });
      }
    });
  },

  keyDiff({candidates}) {
    return candidates.map(tokens => {
      const anchor = new Float64Array(tokens[0]!.key.length);
      for (const {key} of tokens) key.forEach((x, i) => (anchor[i]! += x / Math.hypot(...key)));
      return tokens.map(({key}) => -dot(key, anchor) / (Math.hypot(...key) * Math.hypot(...anchor)));
    });
  },

  expectedAttention(eviction) {
    const {scale, options, sinks, tokensSeen, rope} = eviction;
    const coming = (x: Float64Array) => {
      const sum = new Float64Array(x.length);
      const ahead = Number(options['ahead']);
      for (let at = tokensSeen; at < tokensSeen + ahead; at++)
        rotated(x, at, rope).forEach((y, i) => (sum[i]! += y / ahead));
      return sum;
    };
    return forHeads(eviction, (head, kvHead, scores) => {
      const queries = eviction.asked[head]!.map(({plain}) => plain);
      const mean = queries[0]!.map((_, i) =>
        queries.reduce((sum, query) => sum + query[i]! / queries.length, 0),
      );
      const center = coming(mean);
      const deviations = queries.map(query => coming(query.map((x, i) => x - mean[i]!)));
      const tokens = eviction.candidates[kvHead]!;
      const weights = tokens.map(({key, position}) => {
        if (position < sinks) return 0;
        const spread =
          deviations.reduce((sum, deviation) => sum + dot(key, deviation) ** 2, 0) / queries.length;
        return Math.exp(scale * dot(key, center) + (scale ** 2 * spread) / 2);
      });
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      tokens.forEach(({value}, i) => {
        scores[i]! +=
          (weights[i]! / total + Number(options['epsilon'])) *
          Math.sqrt(squared(value, eviction.metric?.[head]));
      });
    });
  },
};

function masses(eviction: Eviction): number[][] {
  return forHeads(eviction, (head, kvHead, scores) => {
    for (const query of eviction.asked[head]!) {
      const p = probabilities(query, eviction.heads[kvHead]!, eviction.scale);
      scores.forEach((_, i) => (scores[i]! += p[i]!));
    }
  });
}

/** Adds up what each query head of a group says of the candidates of its key head. */
function forHeads(
  {candidates, asked}: Eviction,
  add: (head: number, kvHead: number, scores: number[]) => void,
): number[][] {
  const scores = candidates.map(tokens => tokens.map(() => 0));
  asked.forEach((_, head) => {
    const kvHead = Math.floor(head / (asked.length / candidates.length));
    add(head, kvHead, scores[kvHead]!);
  });
  return scores;
}

/** Attention to all tokens up to the query's own, which come in the order of the text. */
function probabilities(
  {rotated: query, position}: Asked,
  tokens: readonly HeldToken[],
  scale: number,
): number[] {
  const seen = tokens.filter(token => token.position <= position);
  const scores = seen.map(({key}) => scale * dot(query, key));
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map(score => Math.exp(score - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map(weight => weight / total);
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** x G x. */
function squared(x: Float64Array, metric: ArrayLike<number> | undefined): number {
  if (metric === undefined) return dot(x, x);
  let sum = 0;
  x.forEach((left, i) => {
    x.forEach((right, j) => (sum += left * metric[i * x.length + j]! * right));
  });
  return sum;
}
