import {ModelError} from '../../base/errors.js';
import type {SamplingOptions} from './options.js';

/**
 * Samples a token: `p = softmax(logits / temperature)`, cut to the `topK` most probable tokens, then to the nucleus of
 * probability `topP` among these (Holtzman et al., 2019, arXiv 1904.09751), to those of at least `minP` times the largest probability, and to
 * the typical ones of probability `typicalP`, in the order of transformers' generate(). Each cut sees the probabilities that the one before
 * it left, normalised again. Equal logits rank by id. Temperature 0 is greedy and draws no random number.
 *
 * @param logits one per token of the vocabulary.
 * @param random uniform numbers in [0, 1).
 * @returns a token's id.
 * @throws ModelError if the logits are not finite numbers.
 */
export function sampleToken(
  logits: Float32Array,
  {temperature = 0, topK = logits.length, topP = 1, minP = 0, typicalP = 1}: SamplingOptions,
  random: () => number,
): number {
  const best = largest(logits);
  if (temperature === 0 || topK === 1) return best;
  const top = logits[best]!;
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < weights.length; i++) weights[i] = Math.exp((logits[i]! - top) / temperature);
  if (topK >= logits.length && topP >= 1 && minP <= 0 && typicalP >= 1) return draw(weights, random());
  const ranked =
    topK >= logits.length && topP >= 1 ? [...weights.keys()] : mostProbable(logits, weights, topK, topP);
  const likely = ranked.filter(id => weights[id]! > 0 && weights[id]! >= minP); // the largest weight is 1
  const ids = typicalP < 1 ? typical(likely, weights, typicalP) : likely;
  return ids[
    draw(
      Float64Array.from(ids, id => weights[id]!),
      random(),
    )
  ]!;
}

/**
 * The index of the largest number, counted from `from`; of equal ones the first.
 * @throws ModelError if one is NaN, or the largest is infinite.
 */
export function largest(logits: Float32Array, from = 0, to = logits.length): number {
  let best = from;
  for (let i = from; i < to; i++) {
    const logit = logits[i]!;
    if (logit > logits[best]!) best = i;
    else if (Number.isNaN(logit)) throw notNumbers();
  }
  if (!Number.isFinite(logits[best])) throw notNumbers();
  return best - from;
}

function notNumbers(): ModelError {
  return new ModelError(
    "The model's logits are not finite numbers: its weights are damaged, or of another architecture than its config says.",
  );
}

/** The ids of the `count` largest logits, in descending order; equal ones by id. */
export function largestIds(logits: Float32Array, count: number): number[] {
  return count === 0 ? [] : firstOf(byFallingValue(logits), count);
}

/** The ids by descending probability: at most `topK`, and no more than needed for the share `topP` of these. */
function mostProbable(logits: Float32Array, weights: Float64Array, topK: number, topP: number): number[] {
  const some = topK < logits.length ? largestIds(logits, topK) : undefined;
  const enough = topP * sumOf(some?.map(id => weights[id]!) ?? weights);
  const ids: number[] = [];
  let sum = 0;
  for (const id of some ?? byFallingValue(logits)) {
    ids.push(id);
    sum += weights[id]!;
    if (sum >= enough) break;
  }
  return ids;
}

/** The ids nearest to the entropy `H`: by ascending `|-log p - H|` until their probabilities sum to `share`; ties of the last one, too. */
function typical(ids: readonly number[], weights: Float64Array, share: number): number[] {
  const sum = sumOf(ids.map(id => weights[id]!));
  const surprises = ids.map(id => Math.log(sum / weights[id]!));
  const entropy = sumOf(ids.map((id, i) => (weights[id]! / sum) * surprises[i]!));
  const distances = surprises.map(surprise => Math.abs(surprise - entropy));
  const nearest = [...ids.keys()].sort((a, b) => distances[a]! - distances[b]!);
  let covered = 0;
  const last = nearest.find(i => (covered += weights[ids[i]!]! / sum) >= share) ?? nearest.at(-1)!;
  return ids.filter((_, i) => distances[i]! <= distances[last]!);
}

/** The index whose share of the weights contains a number in [0, 1). */
function draw(weights: Float64Array, uniform: number): number {
  let left = uniform * sumOf(weights);
  let drawn = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue; // never sampled, not even if rounding leaves a remainder after the last one
    drawn = i;
    left -= weights[i]!;
    if (left < 0) break;
  }
  return drawn;
}

function sumOf(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]!;
  return sum;
}

function firstOf(numbers: Iterable<number>, count: number): number[] {
  const first: number[] = [];
  for (const number of numbers) {
    first.push(number);
    if (first.length === count) break;
  }
  return first;
}

/** Indices by descending value, equals by index: out of a heap, since a draw rarely looks past the first few of many. */
function* byFallingValue(values: Float32Array): Generator<number> {
  const heap = new Uint32Array(values.length);
  for (let i = 0; i < heap.length; i++) heap[i] = i;
  const precedes = (a: number, b: number) => values[a]! > values[b]! || (values[a] === values[b] && a < b);
  const sink = (from: number, size: number) => {
    for (let at = from, child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && precedes(heap[child + 1]!, heap[child]!)) child++;
      if (!precedes(heap[child]!, heap[at]!)) return;
      const index = heap[at]!;
      heap[at] = heap[child]!;
      heap[child] = index;
      at = child;
    }
  };
  for (let at = heap.length >>> 1; at >= 0; at--) sink(at, heap.length);
  for (let size = heap.length; size > 0; size--) {
    yield heap[0]!;
    heap[0] = heap[size - 1]!;
    sink(0, size - 1);
  }
}
