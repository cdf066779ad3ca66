import type * as tf from '@tensorflow/tfjs';
import type {Options} from '../base/options.js';
import type {Encoding} from '../ops/encodings/encoding.js';
import type {AttendContext} from './past/attend_past.js';
import type {Observation} from './past/observe.js';
import type {DenseBlock, Past} from './past/past.js';

// What a policy is made of. `past/step.ts` runs them; each is one file in codecs/, keepers/ or policies/.

/** The sizes of one head's keys and values. */
export interface HeadSizes {
  readonly dim: number;
  readonly dimV: number;
}

/**
 * *How* one side (keys or values) of a run of tokens is stored. A codec only encodes: attention, decoding, appending, gathering and
 * sizes belong to the encodings that it makes (ops/encodings), so that keys and values may have different codecs.
 */
export interface Codec {
  readonly name: string;
  /** What the registry needs to make this codec again. */
  readonly options: Options;
  /** Tokens are encoded, and evicted, in multiples of this many; 1 if tokens do not share scales. */
  readonly blockTokens: number;
  /** Nothing is lost and nothing is saved: tokens may as well stay as they came in. Default false. */
  readonly exact?: boolean;
  /** Keys are encoded before their rotary embedding, if the model has one. Default false. */
  readonly unrotated?: boolean;
  /**
   * Numbers that all tokens of a run share, per head: a basis, a mean. The first tokens of a run stay exact until these are
   * worth their bytes. Default: none.
   */
  sharedNumbers?(dim: number): number;
  /** @throws InvalidArgumentError if the codec's options do not fit heads of these sizes. */
  check?(sizes: HeadSizes): void;
  /**
   * Encodes float32 `[batch, kvHeads, tokens, dim]`; tokens is a multiple of `blockTokens`. Pure; runs inside the caller's tidy.
   *
   * @param like the encoding of earlier tokens of the same run. What all tokens of a run share (a basis, a mean) is taken from it, so
   *   that the encodings of two runs, appended, are the encoding of both.
   */
  encode(x: tf.Tensor4D, like?: Encoding): Encoding;
  /** The largest |x - decode(encode(x))| that the codec promises for this x: a scalar, or one for each element. */
  errorBound(x: tf.Tensor4D): tf.Tensor;
}

/** *How* both sides of one depth's tokens are stored: two codecs side by side (`codecPair`), or one method for both. */
export interface PairCodec {
  readonly name: string;
  readonly options: Options;
  /** Tokens are stored, and evicted, in multiples of this many. */
  readonly blockTokens: number;
  /** Tokens that wait until this many can be stored at once, so that the cost of a move is shared; a multiple of `blockTokens`. */
  readonly moveTokens: number;
  /** A move takes all tokens that wait, and not only multiples of `moveTokens`. Default false. */
  readonly movesAll?: boolean;
  /** Nothing is lost and nothing is saved: tokens may as well stay as they came in. Default false. */
  readonly exact?: boolean;
  /** @throws InvalidArgumentError if the options do not fit heads of these sizes. */
  check?(sizes: HeadSizes): void;
  /** The fewest tokens that make a beginning: what a run shares beside its tokens must not take more than they save. Default: 1. */
  firstTokens?(sizes: HeadSizes): number;
  /**
   * Stores a block of exact tokens, which are no longer in `past`: returns the past with them in `past.held`, by segment names of the
   * codec's choice. Pure; runs inside the caller's tidy.
   *
   * @returns undefined if the codec needs the queries of a step and the context has none (a plan was changed): it is asked again.
   */
  add(past: Past, block: DenseBlock, context: Context): Past | undefined;
}

/**
 * *Which* tokens stay between the first and the last ones, which are exact and never evicted. A keeper without a budget keeps all of
 * them. Otherwise those of the lowest score are evicted, each head of the keys choosing for itself; without a `score` the oldest are.
 */
export interface Keeper {
  readonly name: string;
  /** What the registry needs to make this keeper again. */
  readonly options: Options;
  /** The most that stays, in tokens per head, or in bytes per text and depth: `256`, `'64kB'`. Default: no limit. */
  readonly budget?: Budget;
  /** What must be known of attention: gathered into `Candidates.attention` by a second pass over the keys. Default: nothing. */
  readonly observes?: Observation;
  /** The score of each token, float32 `[batch, kvHeads, tokens, 1]`; finite. Default: its position. */
  score?(candidates: Candidates): tf.Tensor;
}

/** A number of tokens, or an amount of memory with its unit: B, kB (1000 bytes) or MB. */
export type Budget = number | `${number}${'B' | 'kB' | 'MB'}`;

/** The tokens that a keeper chooses from. All tensors are `[batch, kvHeads, tokens, ...]`. */
export interface Candidates {
  /** What `observes` asked for, float32 `[batch, kvHeads, tokens, 1]`; zeros if it asked for nothing. */
  readonly attention: tf.Tensor4D;
  /** The position of each token in its text, float32 `[batch, kvHeads, tokens, 1]`. */
  readonly positions: tf.Tensor4D;
  /** Tokens that came in so far: the position of the next one. */
  readonly tokensSeen: number;
  /** The keys as attention reads them (rotated), decoded: float32 `[batch, kvHeads, tokens, dim]`. Costs a dense copy. */
  keys(): tf.Tensor4D;
  /** The values, decoded: float32 `[batch, kvHeads, tokens, dimV]`. Costs a dense copy. */
  values(): tf.Tensor4D;
}

/**
 * What becomes of one depth's past: the first `sinks` tokens and the last `recent` tokens are exact; between them `keep` says which
 * tokens stay, and `store` how.
 */
export interface Policy {
  readonly name: string;
  /** What the registry needs to make this policy again. */
  readonly options: Options;
  /** First tokens of the text that stay exact (attention sinks: Xiao et al., 2023, arXiv 2309.17453). */
  readonly sinks: number;
  /** The fewest last tokens that stay exact; those that wait for a block to fill are exact too. */
  readonly recent: number;
  readonly keep: Keeper;
  readonly store: PairCodec;
}

/** What storing may need to know beyond the past itself. */
export interface Context extends AttendContext {
  readonly depth: number;
  readonly depths: number;
  /** The queries of this step, rotated: float32 `[batch, heads, tokens, dim]`. None if a plan was changed. */
  readonly queries?: tf.Tensor4D;
  /** Tokens to expect in all, if the caller knows: buffers grow to this and no further. */
  readonly expectedTokens?: number;
}
