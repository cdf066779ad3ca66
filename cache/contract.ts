import type * as tf from '@tensorflow/tfjs';
import type {Options} from '../base/options.js';
import type {Encoding} from '../ops/encodings/encoding.js';
import type {AttendContext} from './past/attend_past.js';
import type {Observation} from './past/observe.js';
import type {DenseBlock, Past, Segment} from './past/past.js';
import type {RopeTables} from './past/rope_tables.js';

// The parts of a policy. `past/step.ts` runs them; each part is one file in codecs/, keepers/ or policies/.

/** The sizes of one head: numbers per key and per value. */
export interface HeadSizes {
  /** Key and value heads; absent if no layer is given. */
  readonly kvHeads?: number;
  readonly dim: number;
  readonly dimV: number;
}

/**
 * *How* one side (keys or values) of a run of tokens is stored. A codec only encodes. Attention, decoding, appending, gathering and
 * sizes belong to the encodings that it makes (ops/encodings), so keys and values may have different codecs.
 */
export interface Codec {
  readonly name: string;
  /** Options from which the registry makes this codec again; JSON. */
  readonly options: Options;
  /** Tokens are encoded and evicted in multiples of this number; 1 if tokens do not share scales. */
  readonly blockTokens: number;
  /** The codec stores float32 unchanged, so tokens may stay in `recent` instead. Default false. */
  readonly exact?: boolean;
  /** Whether keys are encoded without their rotary embedding, if the model has one. Default false. */
  readonly unrotated?: boolean;
  /**
   * Returns how many numbers all tokens of a run share per head, such as a basis or a mean. The first tokens of a run stay exact
   * until there are enough to make up for these bytes. Default: 0.
   */
  sharedNumbers?(dim: number): number;
  /** @throws InvalidArgumentError if the codec's options do not fit heads of these sizes. */
  check?(sizes: HeadSizes): void;
  /**
   * Encodes float32 `[batch, kvHeads, tokens, dim]`, where tokens is a multiple of `blockTokens`. Pure; runs inside the caller's tidy.
   *
   * @param like the encoding of earlier tokens of the same run. What all tokens of a run share (a basis, a mean) is taken from it, so
   *   that the appended encodings of two parts are the encoding of both.
   * @param decided the numbers of `decidedBy(x)`, if there is such a function and no `like`. Default: they are read at once, which throws
   *   a BackendError on webgpu.
   */
  encode(x: tf.Tensor4D, like?: Encoding, decided?: ArrayLike<number>): Encoding;
  /** Returns the numbers that decide how the first tokens of a run are encoded, such as a rank. Pure. Default: none do. */
  decidedBy?(x: tf.Tensor4D): tf.Tensor;
  /** Returns an upper bound of |x - decode(encode(x))|: a scalar, or a tensor that broadcasts to the shape of x. */
  errorBound(x: tf.Tensor4D): tf.Tensor;
}

/** *How* keys and values of one depth are stored: a codec for each (`codecPair`), or one method for both. */
export interface PairCodec {
  readonly name: string;
  readonly options: Options;
  /** Tokens are stored and evicted in multiples of this number. */
  readonly blockTokens: number;
  /** Tokens wait until this many can be stored at once, which amortises the cost of a move; a multiple of `blockTokens`. */
  readonly moveTokens: number;
  /** A move stores all waiting tokens, not only a multiple of `moveTokens`. Default false. */
  readonly movesAll?: boolean;
  /** Later tokens change how earlier ones are stored, so that a cache cannot be cut back to them. Default false. */
  readonly rewrites?: boolean;
  /** The codec stores float32 unchanged, so tokens may stay in `recent` instead. Default false. */
  readonly exact?: boolean;
  /**
   * A digest of what tokens are stored by and no option says, such as the profile of the model: tokens of one cannot follow tokens of
   * another. Default: the options say all.
   */
  readonly tables?: string | undefined;
  /** What tokens share, such as a basis, belongs to the model and counts to no budget, even if a restored cache has a copy. Default false. */
  readonly lendsTables?: boolean;
  /** What a user should know of this codec with this model: a sentence. Default: nothing. */
  readonly warning?: string;
  /**
   * Returns this codec for one model, if it needs to know more of it than sizes. Default: the codec is the same for all models.
   *
   * @param fingerprint returns the fingerprint of the model's attention weights; undefined if there are only layer shapes, or on GPU
   *   backends, where weights cannot be read at once.
   * @throws ModelError if the codec is for another model.
   */
  forModel?(model: object, fingerprint: () => string | undefined): PairCodec;
  /**
   * @param keep of the policy, if there is one.
   * @throws InvalidArgumentError if the options do not fit heads of these sizes, or a keeper's budget.
   */
  check?(sizes: HeadSizes, keep?: Keeper): void;
  /** Returns the fewest tokens of a first block: what a run shares must not take more bytes than the block saves. Default 1. */
  firstTokens?(sizes: HeadSizes): number;
  /**
   * Stores a block of exact tokens, which are no longer in `past`. Pure; runs inside the caller's tidy.
   *
   * @returns the past with the block in `held`, under segment names of the codec's choice; undefined if the codec needs the queries of
   *   a step and the context has none (a plan was changed), or numbers that have not come yet (`Context.numbersOf`). The next step then asks
   *   again.
   */
  add(past: Past, block: DenseBlock, context: Context): Past | undefined;
  /**
   * Stores tokens of the lowest scores in fewer bits, as far as the budget of the context asks for it: what is over then is evicted. Pure;
   * inside the caller's tidy. Default: bits never change.
   *
   * @param scoresOf returns the keeper's scores of a segment's tokens, float32 `[batch, kvHeads, tokens, 1]`. Default: the oldest lose bits.
   */
  lower?(past: Past, context: Context, scoresOf?: (segment: Segment) => tf.Tensor4D): Past;
  /** Returns what one depth gets of a budget in bytes, relative to the mean of all depths. Default 1. */
  budgetShare?(depth: number): number;
  /**
   * Encodes values that a refit changed, float32 `[batch, kvHeads, tokens, dimV]`, as tokens of the run that `like` is of, each token by itself.
   * Pure. Absent if the codec cannot; keepers with `refit` are then refused.
   */
  encodeValues?(values: tf.Tensor4D, like: Encoding): Encoding;
}

/**
 * *Which* tokens stay between the first and the last ones (these are exact and never evicted). A keeper without a budget keeps all.
 * Otherwise each key head evicts its tokens of the lowest scores; without `score`, the oldest tokens.
 */
export interface Keeper {
  readonly name: string;
  /** Options from which the registry makes this keeper again; JSON. */
  readonly options: Options;
  /**
   * The most that stays: tokens per key head (`256`), or bytes per text and depth (`'64kB'`), which some codecs divide among depths as their
   * bits are (`PairCodec.budgetShare`). Default: no limit.
   */
  readonly budget?: Budget;
  /** The statistic of all attention so far that `score` needs: at each step a second pass over the keys updates `Candidates.attention`. Default: none. */
  readonly observes?: Observation;
  /**
   * How many of the newest queries `score` needs: the past keeps them, and `Candidates.queries` has them when tokens have to go. Only
   * those that see every candidate are used, which are those of the recent tokens: give the policy as many in `recent`. Default: none.
   */
  readonly queries?: number;
  /**
   * Whether tokens that stay take over the attention and the values of those that are evicted: see `Refit`. How much attention these had is
   * known from `observes` if its statistic is `mass`; otherwise the past keeps at least the newest 16 queries. Default false.
   */
  readonly refit?: Refit;
  /** Returns the score of each token, finite float32 `[batch, kvHeads, tokens, 1]`. Default: its position. */
  score?(candidates: Candidates): tf.Tensor;
}

/**
 * How tokens that stay take over those that are evicted: not at all (`false`); each those whose keys are nearest to its own (`true`, see `mergeTokens`); or
 * so and then with values that bring the outputs of the newest 64 queries back by least squares (see `ridgeRegression`), which only exact values allow.
 */
export type Refit = boolean | 'leastSquares';

/** A number of tokens, or an amount of memory with its unit: B, kB (1,000 bytes), MB (1,000,000 bytes), KiB or MiB (powers of 1,024). */
export type Budget = number | `${number}${'B' | 'kB' | 'MB' | 'KiB' | 'MiB'}`;

/** The tokens that a keeper chooses from, those of all encodings of a depth together. All tensors are `[batch, kvHeads, tokens, ...]`. */
export interface Candidates {
  readonly depth: number;
  /** The statistic of `observes`, float32 `[batch, kvHeads, tokens, 1]`; zeros without `observes`. */
  readonly attention: tf.Tensor4D;
  /** The position of each token in its text, float32 `[batch, kvHeads, tokens, 1]`. */
  readonly positions: tf.Tensor4D;
  /** What is added to the attention scores of each token, float32 `[batch, kvHeads, tokens, 1]`, if any took over others: see `Keeper.refit`. */
  readonly bias?: tf.Tensor4D | undefined;
  /** Tokens at positions below this stay, whatever their score. They are among the candidates if they are stored with the others. */
  readonly sinks: number;
  /** Tokens seen so far, evicted ones included; also the position of the next token. */
  readonly tokensSeen: number;
  /** How keys and queries are rotated; absent in models without rotary positions. */
  readonly rope?: RopeTables | undefined;
  /** Returns the decoded keys, rotated as attention reads them: float32 `[batch, kvHeads, tokens, dim]`. Costs a dense copy. */
  keys(): tf.Tensor4D;
  /** Returns the decoded values: float32 `[batch, kvHeads, tokens, dimV]`. Costs a dense copy. */
  values(): tf.Tensor4D;
  /** Returns what `score` makes of up to 512 tokens at a time, joined along the tokens: no dense copy of all of them arises. */
  byTile(score: (tile: CandidateTile) => tf.Tensor): tf.Tensor4D;
  /**
   * Returns the newest queries.
   * @throws InvalidArgumentError if the keeper has no `queries`.
   */
  queries(): AskedQueries;
  /**
   * Returns what a change of an attention output costs: `G = W_O W_O^T` of each query head, float32 `[heads, dimV, dimV]`, so that `|x W_O|^2`
   * is `x G x^T`. Undefined if the layer does not say, or if plain code calls the cache.
   */
  outputMetric(): tf.Tensor3D | undefined;
}

/** Some of the candidates. Each function computes what it returns at its first call. */
export interface CandidateTile {
  /** Decoded keys, rotated: float32 `[batch, kvHeads, tokens, dim]`. */
  keys(): tf.Tensor4D;
  /** Decoded values: float32 `[batch, kvHeads, tokens, dimV]`. */
  values(): tf.Tensor4D;
  /** The attention probabilities of the newest queries, over all tokens that are held: float32 `[batch, heads, queries, tokens]`. */
  attention(): tf.Tensor4D;
}

/** The newest queries, the last of which is at position `tokensSeen - 1`. Each function computes what it returns at its first call. */
export interface AskedQueries {
  /** How many: `Keeper.queries`; fewer at the beginning of a text, or if fewer tokens are recent. */
  readonly count: number;
  /** Rotated, float32 `[batch, heads, count, dim]`. */
  readonly rotated: tf.Tensor4D;
  /** Factor of the attention scores, usually 1 / sqrt(dim). */
  readonly scale: number;
  /** The attention output of each: float32 `[batch, heads, count, dimV]`. */
  outputs(): tf.Tensor4D;
  /** The logarithm of the softmax denominator of each, over all tokens held: float32 `[batch, heads, count, 1]`. */
  logSum(): tf.Tensor4D;
  /** The attention that each candidate gets, summed over these queries and the heads of its group: float32 `[batch, kvHeads, tokens, 1]`. */
  mass(): tf.Tensor4D;
}

/**
 * What one depth stores: the first `sinks` and the last `recent` tokens stay exact; between them `keep` decides which tokens stay, and
 * `store` how they are stored.
 */
export interface Policy {
  readonly name: string;
  /** Options from which the registry makes this policy again; JSON. */
  readonly options: Options;
  /** First tokens of the text that stay exact (attention sinks: Xiao et al., 2023, arXiv 2309.17453). */
  readonly sinks: number;
  /** The fewest last tokens that stay exact. Tokens that wait for a block to fill are exact, too. */
  readonly recent: number;
  /** Returns the option that makes at least so many tokens recent, as messages write it. Default: `recent: 16`. */
  recentOption?(tokens: number): string;
  readonly keep: Keeper;
  readonly store: PairCodec;
  /**
   * The part of a query's attention, 0 to 1, that values may have together which decoding does not read: see `Skipping`. Default: all are
   * read.
   */
  readonly skipValues?: number | undefined;
}

/** What a codec or keeper may need to know besides the past. */
export interface Context extends AttendContext {
  readonly depth: number;
  readonly depths: number;
  /** The queries of this step, rotated: float32 `[batch, heads, tokens, dim]`. Absent while a plan is changed. */
  readonly queries?: tf.Tensor4D;
  /** See `Candidates.outputMetric`. */
  readonly outputMetric?: (() => tf.Tensor3D | undefined) | undefined;
  /** What the policy's keeper lets stay at this depth, if not all. */
  readonly budget?: Budget | undefined;
  /** Expected length of the text in tokens, if known: buffers do not grow beyond it before the text does. */
  readonly expectedTokens?: number;
  /** How a codec reads what it decides by. Default: at once, which throws a BackendError on webgpu. */
  readonly numbersOf?: NumbersOf | undefined;
}

/**
 * Reads numbers that decide how a block is stored. Each function computes some of them.
 *
 * @returns a function that returns the numbers of a part; undefined if they have yet to come from the device. Where numbers are read at once, a
 *   part that is not asked for is not computed; elsewhere all are, and are known when the same block is added a step later.
 */
export type NumbersOf = (
  parts: readonly (() => tf.Tensor)[],
) => ((part: number) => ArrayLike<number>) | undefined;
