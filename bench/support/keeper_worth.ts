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
      const [values, candidates, metric] = [
        eviction.heads[kvHead]!,
        eviction.candidates[kvHead]!,
        eviction.metric?.[head],
      ];
      // (o - v) G (o - v)^T, with v G once for all queries. Differences lose digits where a token is nearly all of the output, their squares'
      // sum o G o^T - 2 o G v^T + v G v^T twice as many.
      const turnedValues = candidates.map(({value}) => times(value, metric));
      for (const query of eviction.asked[head]!) {
        const p = probabilities(query, values, eviction.scale);
        const output = new Float64Array(values[0]!.value.length);
        p.forEach((weight, i) => addTo(output, values[i]!.value, weight));
        const turned = times(output, metric);
        candidates.forEach(({value}, i) => {
          const change = differencesDot(output, value, turned, turnedValues[i]!);
          scores[i]! += (p[i]! / (1 - p[i]!)) ** 2 * change;
        });
      }
    });
  },

  keyDiff({candidates}) {
    return candidates.map(tokens => {
      const anchor = new Float64Array(tokens[0]!.key.length);
      for (const {key} of tokens) addTo(anchor, key, 1 / norm(key));
      const length = norm(anchor);
      return tokens.map(({key}) => -dot(key, anchor) / (norm(key) * length));
    });
  },

  expectedAttention(eviction) {
    const {scale, options} = eviction;
    const coming = meanRotation(eviction);
    return forHeads(eviction, (head, kvHead, scores) => {
      const queries = eviction.asked[head]!.map(({plain}) => plain);
      const mean = new Float64Array(queries[0]!.length);
      for (const query of queries) addTo(mean, query, 1 / queries.length);
      const center = times(mean, coming);
      const deviations = queries.map(query =>
        times(
          query.map((x, i) => x - mean[i]!),
          coming,
        ),
      );
      const tokens = eviction.candidates[kvHead]!;
      const weights = tokens.map(({key, position}) => {
        if (position < eviction.sinks) return 0;
        let spread = 0;
        for (const deviation of deviations) spread += dot(key, deviation) ** 2 / queries.length;
        return Math.exp(scale * dot(key, center) + (scale ** 2 * spread) / 2);
      });
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const metric = eviction.metric?.[head];
      tokens.forEach(({value}, i) => {
        scores[i]! +=
          (weights[i]! / total + Number(options['epsilon'])) * Math.sqrt(dot(times(value, metric), value));
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
  const weights: number[] = [];
  let most = -Infinity;
  for (const token of tokens) {
    if (token.position > position) break;
    const score = scale * dot(query, token.key);
    weights.push(score);
    most = Math.max(most, score);
  }
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i] = Math.exp(weights[i]! - most);
  return weights.map(weight => weight / total);
}

/**
 * Rotations are linear: row i is where the i-th unit vector comes to on average, over the positions of the queries to come.
 * The same for all depths that have seen as many tokens, so the newest is kept.
 */
function meanRotation({options, tokensSeen, rope, heads}: Eviction): ArrayLike<number> {
  const [ahead, dim] = [Number(options['ahead']), heads[0]![0]!.key.length];
  const name = JSON.stringify([ahead, dim, tokensSeen, rope]);
  if (newestRotation?.name === name) return newestRotation.matrix;
  const matrix = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    const unit = new Float64Array(dim);
    unit[i] = 1;
    for (let at = tokensSeen; at < tokensSeen + ahead; at++)
      addTo(matrix.subarray(i * dim, (i + 1) * dim), rotated(unit, at, rope), 1 / ahead);
  }
  newestRotation = {name, matrix};
  return matrix;
}
let newestRotation: {name: string; matrix: Float64Array} | undefined;

// Plain loops: a replay of a long run spends most of its time in them.

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** (a - b) (c - d)^T. */
function differencesDot(a: Float64Array, b: Float64Array, c: Float64Array, d: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (c[i]! - d[i]!);
  return sum;
}

const norm = (x: Float64Array) => Math.sqrt(dot(x, x));

function addTo(sum: Float64Array, x: Float64Array, times: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += times * x[i]!;
}

/** x M, for a square M in one list; without one the identity. */
function times(x: Float64Array, matrix: ArrayLike<number> | undefined): Float64Array {
  if (matrix === undefined) return x;
  const product = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < x.length; j++) product[j]! += x[i]! * matrix[i * x.length + j]!;
  }
  return product;
}
