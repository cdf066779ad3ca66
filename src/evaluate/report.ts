/** What one policy costs and saves, against the same model's full cache. The keys of the JSON report. */
export interface EvaluationRow {
  /** As on the command line: `quantized:bits=4`. */
  readonly policy: string;
  /** exp(mean nll) of all tokens but the first of each window. */
  readonly perplexity: number;
  /** Its standard error, by the delta method, taking tokens as independent. */
  readonly perplexityStderr: number;
  /** KL(full || policy), nats, mean over the predicted tokens. 0 for `full`. */
  readonly klDivergence: number;
  /** Share of the predicted tokens where both have the same most probable token. 1 for `full`. */
  readonly top1Agreement: number;
  /** All that the cache stores (scales, positions and spare room too) by the tokens that it saw. */
  readonly bytesPerToken: number;
  /**
   * Bytes of the cache / bytes of all keys and values in float32: 0.25 is a quarter. Of a compared model, those of the model that
   * it is compared with.
   */
  readonly ratioToFloat32: number;
  /** The same against float16: half the bytes, so twice the number. */
  readonly ratioToFloat16: number;
  /** Tokens a second in the steps of `step` tokens. */
  readonly prefillTokensPerSecond: number;
  /** Tokens a second one by one, behind the text: by the median step. */
  readonly decodeTokensPerSecond: number;
  /** The most tensor bytes alive at once, without the model's weights and the other policies' caches. */
  readonly peakBytes: number;
}

/** An evaluation with what is needed to do it again. */
export interface EvaluationReport {
  readonly model: string;
  /** The model whose full cache is the first row, where it is another one than `model`. */
  readonly against?: string;
  readonly text: string;
  /** Tokens of the text that were evaluated. */
  readonly tokens: number;
  /** Tokens that came into the cache at a time. */
  readonly step: number;
  readonly backend: string;
  /** Where the speeds were measured. */
  readonly machine?: string;
  readonly rows: readonly EvaluationRow[];
}
