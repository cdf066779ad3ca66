import type * as tf from '@tensorflow/tfjs';
import type {KeyAttributes, KeyInputs, KeyRotation} from '../attend/types.js';
import type {RelativeBias} from '../relative_bias.js';
import type {Visibility} from '../attend/visibility.js';

/**
 * A statistic of the attention that a token received, over the queries i and the heads of its group:
 *
 * - `mass`: the sum of p_ij over all of them (H2O, Zhang et al., 2023, arXiv 2306.14048);
 * - `uses`: how many queries have p_ij >= threshold in at least one head;
 * - `lastUse`: the index of the last such query, or -1.
 */
export type AttentionStatistic = 'mass' | 'uses' | 'lastUse';

export interface AttentionStatisticsOptions extends Visibility {
  /** How many of the segment's tokens are valid. */
  readonly tokens: number;
  /** Factor of the scores, usually 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  /** The bound of scaled scores: see `Scoring`. Default: none. */
  readonly softCap?: number | undefined;
  readonly statistic: AttentionStatistic;
  /** The smallest probability that counts as a use, in (0, 1]; required for `uses` and `lastUse`. */
  readonly threshold?: number;
  /** The rotation of keys that were stored before it: see `attend`. */
  readonly keyRotation?: KeyRotation;
  /** Added to the scores of each token: see `attend`. */
  readonly bias?: tf.Tensor4D | undefined;
  /** See `attend`. */
  readonly relative?: RelativeBias | undefined;
}

export type AttentionStatisticsInputs = KeyInputs & {queries: tf.Tensor4D; logSum: tf.Tensor4D};

export interface AttentionStatisticsAttributes extends KeyAttributes, Visibility {
  readonly tokens: number;
  readonly scale: number;
  readonly softCap?: number | undefined;
  readonly statistic: AttentionStatistic;
  readonly threshold: number;
}
