import {largest} from '../../models/generate/sampling.js';
import {InvalidArgumentError} from '../../base/errors.js';

/** The distributions p of the model with the full cache at some positions, to compare others with. */
export interface Reference {
  /** `[positions, vocabSize]`. */
  readonly logits: Float32Array;
  readonly vocabSize: number;
  /** p(id | position), `[positions, vocabSize]`. */
  readonly probabilities: Float32Array;
  /** ln(sum exp(logit)) of each position. */
  readonly logSums: Float64Array;
  /** The most probable id of each position. */
  readonly best: Int32Array;
}

/** How one position was predicted. */
export interface Prediction {
  /** -ln q(next id), nats. */
  readonly nll: number;
  /** KL(p || q) = sum p (ln p - ln q), nats. */
  readonly klDivergence: number;
  /** Whether p and q have the same most probable id. */
  readonly agrees: boolean;
}

/**
 * Returns the distributions of logits `[positions, vocabSize]`. Host loops in float64: on wasm they take a tenth of the time of tfjs'
 * softmax and logarithms.
 */
export function referenceOf(logits: Float32Array, vocabSize: number): Reference {
  const positions = positionsOf(logits, vocabSize);
  const probabilities = new Float32Array(logits.length);
  const logSums = new Float64Array(positions);
  const best = new Int32Array(positions);
  for (let position = 0; position < positions; position++) {
    const from = position * vocabSize;
    best[position] = largest(logits, from, from + vocabSize);
    const logSum = logSumExp(logits, from, vocabSize, best[position]!);
    logSums[position] = logSum;
    for (let i = from; i < from + vocabSize; i++) probabilities[i] = Math.exp(logits[i]! - logSum);
  }
  return {logits, vocabSize, probabilities, logSums, best};
}

/**
 * Compares the logits of another cache with the reference at the same positions (or the reference with itself).
 *
 * @param logits the logits of the other cache, `[positions, vocabSize]`.
 * @param targets the next id at each position; positions after the last target are left out.
 * @throws InvalidArgumentError if the numbers of positions differ, or if there are more targets than positions.
 */
export function predictionsOf(
  logits: Float32Array,
  reference: Reference,
  targets: readonly number[],
): Prediction[] {
  const {vocabSize, best} = reference;
  const positions = positionsOf(logits, vocabSize);
  if (logits.length !== reference.logits.length || targets.length > positions) {
    throw new InvalidArgumentError(
      `Got ${positions} positions to compare with ${best.length}, and ${targets.length} target ids; ` +
        'expected as many positions on both sides, and no more target ids.',
    );
  }
  return targets.map((target, position) => {
    const from = position * vocabSize;
    const bestHere = largest(logits, from, from + vocabSize);
    const logSum = logSumExp(logits, from, vocabSize, bestHere);
    return {
      nll: logSum - logits[from + target]!,
      klDivergence: divergence(reference, logits, position, logSum),
      agrees: bestHere === best[position],
    };
  });
}

/** sum p (ln p - ln q), with ln p = logit - logSum; both log sums are constant and are added outside the sum. */
function divergence(reference: Reference, logits: Float32Array, position: number, logSum: number): number {
  const {vocabSize, probabilities, logSums} = reference;
  const from = position * vocabSize;
  let sum = 0;
  for (let i = from; i < from + vocabSize; i++) {
    const probability = probabilities[i]!;
    if (probability > 0) sum += probability * (reference.logits[i]! - logits[i]!);
  }
  return sum + logSum - logSums[position]!;
}

/** Returns ln(sum exp(logit)) of the `count` logits from `from` on. @param best the index of the largest, counted from `from`. */
export function logSumExp(logits: Float32Array, from: number, count: number, best: number): number {
  const top = logits[from + best]!;
  let sum = 0;
  for (let i = from; i < from + count; i++) sum += Math.exp(logits[i]! - top);
  return top + Math.log(sum);
}

function positionsOf(logits: Float32Array, vocabSize: number): number {
  return logits.length / vocabSize;
}
