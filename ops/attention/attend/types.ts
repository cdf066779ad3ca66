import type * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../../encodings/index.js';
import type {LowRankEncoding} from '../../encodings/low_rank.js';
import type {TokenEncoding, TokenLayout} from '../../encodings/token_kinds.js';
import type {RelativeBias} from '../relative_bias.js';
import type {Visibility} from './visibility.js';

/**
 * Attention over one segment before normalisation, as one float32 tensor `[batch, heads, tokens, dimV + 2]`: the weighted
 * sum of the values, then the largest score `m`, then the sum of `exp(score - m)`. One tensor, since WebGPU programs
 * have one output. Partials of several segments merge exactly: see `mergePartials`.
 */
export type Partial = tf.Tensor4D;

/** The rotary embedding of keys that were stored before it; a `LowRankEncoding` with `rotate` or `rotatedMean` needs one. */
export interface KeyRotation {
  /** float32 `[positions, pairs]`: row p holds the angles of position p. */
  readonly cos: tf.Tensor2D;
  readonly sin: tf.Tensor2D;
  /** Which channels make a pair: (i, i + pairs) or (2i, 2i + 1). Default false: the former. */
  readonly interleaved?: boolean;
  /**
   * The position of each of the segment's tokens: the first of a run without gaps, or int32 `[batch, kvHeads, rows]` or
   * `[batch, kvHeads, rows, 1]`, rows at least the segment's tokens.
   */
  readonly positions: number | tf.Tensor;
}

/**
 * What decoding may leave unread: values of tokens whose weights, which are known before, are small (BLASST, Yuan et al., 2025, arXiv 2512.12087,
 * leaves out blocks so). Up to 16 rows of queries per key head (heads of its group times tokens), on the wasm backend, unless both sides are
 * Lloyd-Max codes; all other attention reads everything.
 */
export interface Skipping {
  /**
   * The part of each query's attention, 0 to 1, that unread values may have together. Their weights stay in the sum, so an output changes by at
   * most this times the largest value.
   */
  readonly share: number;
  /** Counts what was not read. Default: nobody counts. */
  readonly counts?: SkipCounts | undefined;
}

/** Counts of tokens, of each key head, step and block of up to four rows of queries. */
export interface SkipCounts {
  /** All whose values could have been left unread. */
  tokens: number;
  /** Those whose values were. */
  unread: number;
}

/** What attention over one segment needs to know beyond its tensors. */
export interface AttendOptions extends Visibility {
  /** How many of the segment's tokens are valid. */
  readonly tokens: number;
  /** Factor of the scores, usually 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  /** The bound of scaled scores: see `Scoring`. Default: none. */
  readonly softCap?: number | undefined;
  /** The rotation of keys that were stored before it; required for them, and ignored by other encodings. */
  readonly keyRotation?: KeyRotation;
  /** Added to the scaled scores of each token: float32 `[batch, kvHeads, rows, 1]`, rows at least the segment's tokens. Default: nothing. */
  readonly bias?: tf.Tensor4D | undefined;
  /** Added to the scores of each query and token, by their distance; needs as many key heads as query heads. Default: nothing. */
  readonly relative?: RelativeBias | undefined;
  /** What decoding may leave unread. Default: nothing. */
  readonly skipping?: Skipping | undefined;
}

/** A run of stored tokens, and how queries look at it. */
export interface AttendedSegment extends AttendOptions {
  readonly keys: Encoding;
  readonly values: Encoding;
}

/** Keys that a kernel reads as keys of the queries' dim. */
export type StoredKeys = TokenEncoding | (LowRankEncoding & {readonly rotate: true});

export type KeyInputs = {
  keyData: tf.Tensor4D;
  keyParams?: tf.Tensor4D;
  keyBasis?: tf.Tensor4D;
  keyMean?: tf.Tensor4D;
  cos?: tf.Tensor2D;
  sin?: tf.Tensor2D;
  positions?: tf.Tensor;
  meanAngles?: tf.Tensor4D;
  bias?: tf.Tensor4D;
  /** Added to the scaled scores of each row of queries before they are capped: float32 `[batch, heads, queryTokens, 1]`. References only. */
  shift?: tf.Tensor4D;
};

export interface KeyAttributes {
  readonly keys: TokenLayout;
  readonly rotation?: {readonly interleaved: boolean; readonly firstPosition: number};
}

/** The tensors of both encodings by role; `Params` only if an encoding has scales. */
export type SegmentInputs = KeyInputs & {valueData: tf.Tensor4D; valueParams?: tf.Tensor4D};

export type AttendInputs = SegmentInputs & {queries: tf.Tensor4D};

export interface AttendAttributes extends KeyAttributes, Visibility {
  readonly values: TokenLayout;
  readonly tokens: number;
  readonly scale: number;
  readonly softCap?: number | undefined;
  readonly skipping?: Skipping | undefined;
}

/** A segment as kernels take it. */
export interface StoredSegment {
  readonly inputs: SegmentInputs;
  readonly attributes: AttendAttributes;
}
