import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {isTensor, tensorShown} from '../tensor_shown.js';

/**
 * How a layer scores the tokens that a query sees:
 *
 *     s_ij = cap(scale * q_i . k_j) + slope_h (j - i) + relativeBias[h, i - j]    for i - window < j <= i
 *     cap(x) = softCap tanh(x / softCap)
 *
 * i and j are positions in the text, h is the head.
 */
export interface ScoringOptions {
  /** Factor of the products. Default 1 / sqrt(dim of the uncompressed head). */
  readonly scale?: number | undefined;
  /** Sliding window: how many tokens a query sees, its own included. Default: all before it. */
  readonly window?: number | undefined;
  /** The bound of scaled products, c in `c tanh(s / c)` (Gemma 2, 2024, arXiv 2408.00118). Default: none. */
  readonly softCap?: number | undefined;
  /**
   * Whether scores fall with the distance of a token, by the slope of the head (ALiBi: Press et al., 2021, arXiv 2108.12409): see `alibiSlopes`.
   * Needs as many key heads as query heads. Default false.
   */
  readonly alibi?: boolean | undefined;
  /**
   * Biases by head and distance, float32 `[heads, distances]`: column d is added to the scores of tokens d before the query, and the last one to
   * those of all tokens farther away (relative position bias: Raffel et al., 2020, arXiv 1910.10683; T5's buckets: see `relativeBiasOfBuckets` of eigenkv/extend). Needs as
   * many key heads as query heads. Differentiable without a cache. Default: none.
   */
  readonly relativeBias?: tf.Tensor2D | undefined;
}

/** The same with the scale that applies. */
export interface Scoring extends ScoringOptions {
  readonly scale: number;
}

/** The scoring that options give, for queries of `dim`. */
export function scoringOf(
  {scale, window, softCap, alibi, relativeBias}: ScoringOptions,
  dim: number,
): Scoring {
  return {
    scale: scale ?? 1 / Math.sqrt(dim),
    window,
    softCap,
    alibi: alibi === true ? true : undefined,
    relativeBias,
  };
}

/** Of float32: what is smaller counts as zero in some kernels. */
const leastNormal = 2 ** -126;

/**
 * @param who begins the message: who got the options.
 * @throws InvalidArgumentError if an option is not allowed.
 */
export function checkScoring(
  {scale, window, softCap, alibi, relativeBias}: ScoringOptions,
  {heads, kvHeads}: {readonly heads: number; readonly kvHeads: number},
  who: string,
): void {
  const expectThat = (isRight: boolean, option: string, given: unknown, expected: string) => {
    if (given === undefined || isRight) return;
    throw new InvalidArgumentError(`${who}, ${option} = ${shown(given)}; expected ${expected}.`);
  };
  expectThat(
    Number.isInteger(window) && window! >= 1,
    'window',
    window,
    'a whole number of tokens, 1 or more',
  );
  expectThat(Number.isFinite(Math.fround(scale!)), 'scale', scale, 'a finite number');
  const cap = Math.fround(softCap!);
  expectThat(
    cap >= leastNormal && cap < Infinity,
    'softCap',
    softCap,
    'a finite number above 0, or none: leave it out',
  );
  expectThat(typeof alibi === 'boolean', 'alibi', alibi, 'true or false');
  if (relativeBias !== undefined) checkRelativeBias(relativeBias, heads, who);
  if (heads === kvHeads) return;
  if (relativeBias !== undefined) {
    throw new InvalidArgumentError(
      `${who}, relativeBias with ${heads} query heads and ${kvHeads} key heads; it has biases for each query head, which all heads that share ` +
        'a key head would have to share: give as many key heads as query heads.',
    );
  }
  if (alibi !== true) return;
  throw new InvalidArgumentError(
    `${who}, alibi is true with ${heads} query heads and ${kvHeads} key heads; ALiBi has a slope for each query head, which all heads ` +
      'that share a key head would have to share: give as many key heads as query heads.',
  );
}

function checkRelativeBias(given: tf.Tensor2D, heads: number, who: string): void {
  if (isFloatMatrix(given) && given.shape[0] === heads && given.shape[1] >= 1) return;
  throw new InvalidArgumentError(
    `${who}, relativeBias = ${tensorShown(given)}; expected a float32 tensor [${heads}, distances], a row for each head.`,
  );
}

export const isFloatMatrix = (given: tf.Tensor): boolean =>
  isTensor(given) && !given.isDisposed && given.rank === 2 && given.dtype === 'float32';

/**
 * Scores of products q . k, float32 of any shape: scaled and capped, then with the bias of each token. Differentiable.
 * @param shift what belongs to the products of a row of queries and is not in them, scaled already.
 */
export function scoresOf(
  products: tf.Tensor4D,
  {scale, softCap}: Pick<Scoring, 'scale' | 'softCap'>,
  bias?: tf.Tensor4D,
  shift?: tf.Tensor4D,
): tf.Tensor4D {
  const scaled = tf.mul<tf.Tensor4D>(products, scale);
  const whole = shift === undefined ? scaled : tf.add<tf.Tensor4D>(scaled, shift);
  const capped =
    softCap === undefined ? whole : tf.mul<tf.Tensor4D>(tf.tanh(tf.div(whole, softCap)), softCap);
  return bias === undefined ? capped : tf.add(capped, bias);
}

/**
 * The slopes of ALiBi, one for each head: `2^(-8 k / heads)` for k from 1 on. If the number of heads is no power of two: those of the next
 * smaller one, then every second slope of twice as many heads.
 */
export function alibiSlopes(heads: number): number[] {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const slopes = (count: number) => Array.from({length: count}, (_, k) => 2 ** ((-8 * (k + 1)) / count));
  const between = slopes(2 * whole).filter((_, k) => k % 2 === 0);
  return [...slopes(whole), ...between.slice(0, heads - whole)];
}

/**
 * What ALiBi adds to the scores of tokens, `slope_h (position - newest)`. This leaves out `slope_h (newest - i)`, which all tokens have in the
 * scores of query i, so that it changes no attention. Inside the caller's tidy.
 *
 * @param positions of the tokens: the first of a run without gaps, or float32 `[batch, heads, rows, 1]`, rows at least `tokens`.
 * @param newest the position of the newest query: biases near it are the most exact.
 * @returns float32 `[batch, heads, tokens, 1]`.
 */
export function alibiBias(
  positions: number | tf.Tensor4D,
  tokens: number,
  newest: number,
  [batch, heads]: readonly [batch: number, heads: number],
): tf.Tensor4D {
  const slopes = tf.tensor4d(alibiSlopes(heads), [1, heads, 1, 1]);
  if (typeof positions === 'number') {
    const distances = tf.reshape(tf.range(positions - newest, positions - newest + tokens), [
      1,
      1,
      tokens,
      1,
    ]);
    const biases = tf.mul<tf.Tensor4D>(slopes, distances);
    return batch === 1 ? biases : tf.mul(biases, tf.ones([batch, 1, 1, 1])); // tf.tile of wasm takes ten milliseconds
  }
  const own = tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  return tf.mul(slopes, tf.sub(own, newest));
}
