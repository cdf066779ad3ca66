import type {RopeConfig} from '../../../ops/rotate/rope.js';

/**
 * The transforms of one side (keys or values) at one depth, calibrated and shared by all tokens. A token x of a key head has the channels
 *
 *     z = (x - mean) A        x = mean + z B        A B = I
 *
 * with variance 1 each over the calibration's tokens. All arrays are row-major.
 */
export interface SideTransform {
  readonly kvHeads: number;
  /** Numbers per head. */
  readonly dim: number;
  /** M, `[kvHeads, dim]`. */
  readonly mean: Float32Array;
  /**
   * mu_0, `[kvHeads, dim]`: keys of models with rotary positions are encoded rotated to their position p, minus this mean rotated likewise:
   * `x = R_p (k - mu_0)`. Absent for values, and for models without rotary positions (x = k).
   */
  readonly rotatedMean?: Float32Array;
  /** A, `[kvHeads, dim, dim]`: column i gives channel i. */
  readonly analysis: Float32Array;
  /** B, `[kvHeads, dim, dim]`: row i is what channel i adds. */
  readonly synthesis: Float32Array;
  /**
   * lambda, `[kvHeads, dim]`, not negative and falling in each head: an error of variance e in channel i of every token costs
   * `lambda_i e / 2` nats of KL divergence per token.
   */
  readonly weights: Float64Array;
  /** How the scales of the calibration's tokens were distributed: what a live cache is compared with. */
  readonly tokenScales: TokenScales;
}

/** The scale of a token is s = the root mean square of its channels. */
export interface TokenScales {
  /** Mean of log2 s, `[kvHeads]`. */
  readonly mean: Float64Array;
  /** Standard deviation of log2 s, `[kvHeads]`. */
  readonly deviation: Float64Array;
}

/** The transforms of a whole model, from a calibration: what the codec `transform` stores tokens by. */
export interface TransformProfile {
  /** Of the model's attention weights: see `fingerprintOf`. */
  readonly fingerprint: string;
  /** The rotary positions of keys. Absent if the model has none. */
  readonly rope?: RopeConfig;
  /** Tokens whose keys and values were seen. */
  readonly tokens: number;
  /** Tokens whose gradients were taken. */
  readonly gradientTokens: number;
  /** Names of the calibration's texts. */
  readonly texts: readonly string[];
  /** By depth. */
  readonly depths: readonly DepthTransforms[];
}

export interface DepthTransforms {
  readonly keys: SideTransform;
  readonly values: SideTransform;
}

export const transformSides = ['keys', 'values'] as const;
export type TransformSide = (typeof transformSides)[number];
