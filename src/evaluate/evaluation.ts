import type {DriftSummary} from './certificate/drift_summary.js';

/** The measurements of one plan, compared with the full cache of the same model. Also the keys of the JSON report. */
export interface EvaluationRow {
  /** The plan as on the command line: `quantized:bits=4`. Rows of a compared model begin with its name: `small, full`. */
  readonly plan: string;
  /** exp(mean negative log-likelihood) of all tokens except the first of each window. */
  readonly perplexity: number;
  /** Standard error of the perplexity by the delta method, which assumes independent tokens. */
  readonly perplexityStderr: number;
  /**
   * Standard error of perplexity / perplexity of the full cache. Both predict the same tokens, so it is far smaller than that of the perplexities.
   */
  readonly changeStderr: number;
  /** KL(full || plan), nats, mean over the predicted tokens. 0 for `full`. */
  readonly klDivergence: number;
  /** Standard error of `klDivergence`, which assumes independent tokens. */
  readonly klStderr: number;
  /**
   * The KL divergence that the model's profile predicts, nats per token: see `certify`. Absent if it has no profile, or the plan evicts
   * tokens or keeps the newest ones exact.
   */
  readonly predictedKl?: number;
  /** How far what the cache stored is from the calibration, at the end of the first window. Absent if it stores nothing by a profile. */
  readonly drift?: DriftSummary;
  /** Share of the predicted tokens, 0 to 1, for which both caches have the same most probable token. 1 for `full`. */
  readonly top1Agreement: number;
  /** Bytes of the cache (with scales, positions and spare capacity) / tokens that it has seen. */
  readonly bytesPerToken: number;
  /** The part of `bytesPerToken` of each depth; tables of positions, which depths share, are in none. Absent in rows of a kept run. */
  readonly bytesPerTokenOfDepths?: readonly number[];
  /**
   * Bytes of the cache / bytes of all keys and values as float32: 0.25 is a quarter. For a compared model, keys and values are
   * those of the model that it is compared with.
   */
  readonly ratioToFloat32: number;
  /** Bytes of the cache / bytes of all keys and values as float16. */
  readonly ratioToFloat16: number;
  /** Tokens per second in the passes of `chunk` tokens. */
  readonly prefillTokensPerSecond: number;
  /** Tokens per second of single-token passes at the end of the first window, from the median pass. */
  readonly decodeTokensPerSecond: number;
  /** The most bytes of tensors alive at once, not counting the weights and the caches of other plans. */
  readonly peakBytes: number;
}

/** A row as `console.table` shows it, rounded to four digits. */
export interface EvaluationSummary {
  readonly plan: string;
  readonly perplexity: number;
  readonly 'KL (nats)': number;
  /** Bytes of the cache / bytes of all keys and values as float32. */
  readonly 'of float32': number;
}

/** The measurements in full precision. */
export interface EvaluationResult {
  /** Tokens that were evaluated, all texts together. */
  readonly tokens: number;
  /** Tokens per forward pass. */
  readonly chunk: number;
  /** One row for `full`, one for each other plan, then those of compared models. */
  readonly rows: readonly EvaluationRow[];
}

/**
 * The result of `evaluate`. As an array it is a short table for `console.table(evaluation)`; `rows` holds all numbers unrounded. As JSON
 * it is an `EvaluationResult`.
 */
export class Evaluation extends Array<EvaluationSummary> implements EvaluationResult {
  // private: console.table would show an enumerable property as one more row
  readonly #result: EvaluationResult;

  constructor(result: EvaluationResult) {
    super(...result.rows.map(summaryOf));
    this.#result = result;
  }

  /** Lets `map`, `filter` and `slice` return plain arrays. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  get tokens(): number {
    return this.#result.tokens;
  }

  get chunk(): number {
    return this.#result.chunk;
  }

  get rows(): readonly EvaluationRow[] {
    return this.#result.rows;
  }

  toJSON(): EvaluationResult {
    return this.#result;
  }
}

function summaryOf({plan, perplexity, klDivergence, ratioToFloat32}: EvaluationRow): EvaluationSummary {
  const rounded = (number: number) => Number(number.toPrecision(4));
  return {
    plan,
    perplexity: rounded(perplexity),
    'KL (nats)': rounded(klDivergence),
    'of float32': rounded(ratioToFloat32),
  };
}
