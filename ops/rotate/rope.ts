import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {Rotation} from './index.js';

/** The angles of a rotary position embedding, as a model's config states them. */
export interface RopeConfig {
  /** Base of the frequencies: pair i of P is rotated by `theta^(-i / P)` radians per token. Default 10000. */
  readonly theta?: number;
  /** How many channels of a head rotate (an even number). Default: all of them. */
  readonly rotaryDim?: number;
  /** Pairs are (2i, 2i + 1) instead of (i, i + P). Default false. */
  readonly interleaved?: boolean;
  /** Stretches the angles to contexts longer than the training's. */
  readonly scaling?: RopeScaling;
}

/** The keys are those of `rope_scaling` in a hub config, in camelCase. */
export type RopeScaling =
  | {readonly type: 'linear'; readonly factor: number}
  | {
      readonly type: 'dynamic';
      readonly factor: number;
      readonly maxPositions: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalMaxPositions: number;
      readonly betaFast?: number;
      readonly betaSlow?: number;
      readonly attentionFactor?: number;
    }
  | {
      readonly type: 'longrope';
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly maxPositions: number;
      readonly originalMaxPositions: number;
      readonly attentionFactor?: number;
    }
  /** One divisor for each pair's frequency, as GGUF stores it (`rope_freqs.weight`). */
  | {readonly type: 'divisors'; readonly divisors: readonly number[]};

/**
 * Cosines and sines of the tokens `start .. start + tokens`, made on the host in double precision.
 *
 * Scaling variants: `linear` divides positions by `factor` (Chen et al., 2023, arXiv 2306.15595); `dynamic` raises theta as
 * NTK-aware scaling does, with the length fixed at `maxPositions` (rotated keys cannot follow a growing text); `llama3`
 * slows the low frequencies only (Llama 3.1); `yarn` interpolates by frequency and scales the attention (Peng et al., 2023, arXiv
 * 2309.00071); `longrope` divides each pair's frequency by a factor of its own, `longFactor` where the model takes more than its original
 * context (Ding et al., 2024, arXiv 2402.13753), with the length fixed at `maxPositions`, and scales the attention.
 */
export function rotationFor(config: RopeConfig, dim: number, start: number, tokens: number): Rotation {
  const {frequencies, magnitude} = ropeFrequencies(config, dim);
  const pairs = frequencies.length;
  const cos = new Float32Array(tokens * pairs);
  const sin = new Float32Array(tokens * pairs);
  for (let token = 0, at = 0; token < tokens; token++) {
    for (let pair = 0; pair < pairs; pair++, at++) {
      const angle = (start + token) * frequencies[pair]!;
      cos[at] = Math.cos(angle) * magnitude;
      sin[at] = Math.sin(angle) * magnitude;
    }
  }
  return {
    cos: tf.tensor2d(cos, [tokens, pairs]),
    sin: tf.tensor2d(sin, [tokens, pairs]),
    interleaved: config.interleaved ?? false,
  };
}

/**
 * The mean of the rotations of the tokens `start .. start + n`, as one row. Where f is the frequency of a pair, it is
 *
 *     1/n sum_t e^(i f (start + t)) = e^(i f (start + (n - 1) / 2)) sin(n f / 2) / (n sin(f / 2))
 *
 * which takes as long for many tokens as for one.
 */
export function meanRotation(config: RopeConfig, dim: number, start: number, n: number): Rotation {
  const {frequencies, magnitude} = ropeFrequencies(config, dim);
  const lengths = frequencies.map(f => {
    const sine = Math.sin(f / 2);
    return sine === 0 ? magnitude : (magnitude * Math.sin((n * f) / 2)) / (n * sine);
  });
  const angles = frequencies.map(f => f * (start + (n - 1) / 2));
  const row = (of: (angle: number) => number) =>
    tf.tensor2d(
      Float32Array.from(angles, (angle, pair) => lengths[pair]! * of(angle)),
      [1, angles.length],
    );
  return {cos: row(Math.cos), sin: row(Math.sin), interleaved: config.interleaved ?? false};
}

/** Radians per token by which each pair of channels is rotated, and the factor on cosines and sines (1 except for `yarn` and `longrope`). */
export function ropeFrequencies(
  config: RopeConfig,
  dim: number,
): {frequencies: Float64Array; magnitude: number} {
  const {theta = 10000, rotaryDim = dim, scaling} = config;
  if (rotaryDim % 2 !== 0 || rotaryDim > dim || rotaryDim <= 0) {
    throw new InvalidArgumentError(
      `rotaryDim = ${rotaryDim}; expected an even number from 2 to the head's dim ${dim}.`,
    );
  }
  const plain = (base: number) =>
    Float64Array.from({length: rotaryDim / 2}, (_, i) => base ** ((-2 * i) / rotaryDim));
  if (scaling === undefined) return {frequencies: plain(theta), magnitude: 1};
  switch (scaling.type) {
    case 'linear':
      return {frequencies: plain(theta).map(f => f / scaling.factor), magnitude: 1};
    case 'dynamic': {
      const {factor, maxPositions, originalMaxPositions} = scaling;
      const stretch =
        (factor * Math.max(maxPositions, originalMaxPositions)) / originalMaxPositions - (factor - 1);
      return {frequencies: plain(theta * stretch ** (rotaryDim / (rotaryDim - 2))), magnitude: 1};
    }
    case 'llama3': {
      const {factor, lowFreqFactor, highFreqFactor, originalMaxPositions} = scaling;
      return {
        frequencies: plain(theta).map(f => {
          const turns = (originalMaxPositions * f) / (2 * Math.PI); // of the pair within the original context
          const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
          return (1 - kept) * (f / factor) + kept * f;
        }),
        magnitude: 1,
      };
    }
    case 'divisors':
      return {frequencies: divided(plain(theta), scaling.divisors), magnitude: 1};
    case 'longrope': {
      const {shortFactor, longFactor, maxPositions, originalMaxPositions, attentionFactor} = scaling;
      const stretch = maxPositions / originalMaxPositions;
      return {
        frequencies: divided(plain(theta), stretch > 1 ? longFactor : shortFactor),
        magnitude: attentionFactor ?? longropeMagnitude(stretch, originalMaxPositions),
      };
    }
    case 'yarn':
      return yarn(plain(theta), theta, rotaryDim, scaling);
  }
}

/** What `longrope` scales cosines and sines by where nothing else is said, in a context that is `stretch` times the original one. */
export function longropeMagnitude(stretch: number, originalMaxPositions: number): number {
  return stretch > 1 ? Math.sqrt(1 + Math.log(stretch) / Math.log(originalMaxPositions)) : 1;
}

function divided(frequencies: Float64Array, divisors: readonly number[]): Float64Array {
  if (divisors.length === frequencies.length) return frequencies.map((f, i) => f / divisors[i]!);
  throw new InvalidArgumentError(
    `There are ${divisors.length} divisors of frequencies for ${frequencies.length} rotated pairs; their numbers must be equal.`,
  );
}

function yarn(
  plain: Float64Array,
  theta: number,
  rotaryDim: number,
  scaling: Extract<RopeScaling, {type: 'yarn'}>,
) {
  const {factor, originalMaxPositions, betaFast = 32, betaSlow = 1} = scaling;
  // the pair that rotates `turns` times within the original context
  const pairOf = (turns: number) =>
    (rotaryDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(pairOf(betaFast)), 0);
  const high = Math.min(Math.ceil(pairOf(betaSlow)), rotaryDim - 1);
  const frequencies = plain.map((f, i) => {
    const interpolated = Math.min(1, Math.max(0, (i - low) / Math.max(high - low, 0.001)));
    return interpolated * (f / factor) + (1 - interpolated) * f;
  });
  return {frequencies, magnitude: scaling.attentionFactor ?? (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1)};
}
