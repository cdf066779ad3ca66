import type * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import type {Plan} from '../../cache/plans/plan.js';
import {CacheStateError} from '../../base/errors.js';
import {mean, median, standardError} from '../../base/statistics.js';
import {calibrationDrift} from '../../cache/watch/calibration_drift.js';
import {calibratedLosses} from './certificate/calibrated.js';
import {type DriftSummary, driftSummary} from './certificate/drift_summary.js';
import {float32BytesOf} from './cache_bytes.js';
import type {Prediction} from './compare_logits.js';
import type {EvaluationRow} from './evaluation.js';
import {measuredStep} from './measured_step.js';
import {planLabel} from './plan_label.js';

/** How many of the last single-token passes measure the speed of decoding; those before them warm up. */
const timedSteps = 16;

/** The evaluation of one plan over all windows: its cache and its measurements so far. */
export class PlanRun {
  private cache: KVCache | undefined;
  private bytes: Pick<
    EvaluationRow,
    'bytesPerToken' | 'bytesPerTokenOfDepths' | 'ratioToFloat32' | 'ratioToFloat16'
  > = {bytesPerToken: NaN, bytesPerTokenOfDepths: [], ratioToFloat32: NaN, ratioToFloat16: NaN};
  private readonly nlls: number[] = [];
  private readonly divergences: number[] = [];
  private agreements = 0;
  private predictedKl: number | undefined;
  private drift: DriftSummary | undefined;
  private readonly prefill = {tokens: 0, ms: 0};
  private readonly decodeMs: number[] = [];
  /** Tensor bytes of the current cache: its pasts and its tables. */
  private heldBytes = 0;
  private peakBytes = 0;

  /** @param name the name of the model, if it is a compared one. */
  constructor(
    readonly model: tf.LayersModel,
    private readonly plan: Plan,
    private readonly name?: string,
  ) {}

  /** Makes a fresh cache for a window of this many tokens. */
  startWindow(tokens: number): void {
    this.dispose();
    this.cache = new KVCache(this.model, this.plan, {expectedTokens: tokens});
  }

  /** Runs ids through the model and the cache; returns the logits of all of them, `[tokens, vocabSize]`. */
  async take(ids: readonly number[], decodes: boolean): Promise<Float32Array> {
    const {logits, ms, peakBytes, keptBytes} = await measuredStep(this.model, ids, this.currentCache());
    this.peakBytes = Math.max(this.peakBytes, this.heldBytes + peakBytes);
    this.heldBytes += keptBytes;
    if (decodes) {
      this.decodeMs.push(ms);
    } else {
      this.prefill.tokens += ids.length;
      this.prefill.ms += ms;
    }
    return logits;
  }

  /** Adds predictions to the totals. */
  count(predictions: readonly Prediction[]): void {
    for (const {nll, klDivergence, agrees} of predictions) {
      this.nlls.push(nll);
      this.divergences.push(klDivergence);
      if (agrees) this.agreements++;
    }
  }

  /** Returns the bytes of the keys and values of all tokens so far, as float32. */
  float32Bytes(): number {
    return float32BytesOf(this.currentCache());
  }

  /**
   * Records the bytes of the cache at the end of a window, and what its calibration says of it.
   * @param float32Bytes bytes of all keys and values as float32.
   */
  async measureCache(float32Bytes: number): Promise<void> {
    const cache = this.currentCache();
    const {byteSize, tokens} = cache;
    this.predictedKl = (await calibratedLosses(cache))?.predictedKl;
    this.drift = driftSummary(await calibrationDrift(cache));
    this.bytes = {
      bytesPerToken: byteSize / tokens,
      bytesPerTokenOfDepths: cache.report().map(depth => depth.byteSize / tokens),
      ratioToFloat32: byteSize / float32Bytes,
      ratioToFloat16: byteSize / (float32Bytes / 2),
    };
  }

  /** @param full the run of the full cache over the same tokens. */
  row(full: PlanRun): EvaluationRow {
    const label = planLabel(this.plan);
    const perplexity = Math.exp(mean(this.nlls));
    const differences = this.nlls.map((nll, i) => nll - full.nlls[i]!);
    return {
      plan: this.name === undefined ? label : `${this.name}, ${label}`,
      perplexity,
      perplexityStderr: perplexity * standardError(this.nlls),
      changeStderr: Math.exp(mean(differences)) * standardError(differences),
      klDivergence: mean(this.divergences),
      klStderr: standardError(this.divergences),
      ...(this.predictedKl !== undefined && {predictedKl: this.predictedKl}),
      ...(this.drift && {drift: this.drift}),
      top1Agreement: this.agreements / this.nlls.length,
      ...this.bytes,
      prefillTokensPerSecond: (1000 * this.prefill.tokens) / this.prefill.ms,
      decodeTokensPerSecond: 1000 / median(this.decodeMs.slice(-timedSteps)),
      peakBytes: this.peakBytes,
    };
  }

  dispose(): void {
    this.cache?.dispose();
    this.cache = undefined;
    this.heldBytes = 0;
  }

  private currentCache(): KVCache {
    if (this.cache === undefined) throw new CacheStateError('No window was started; call startWindow first.');
    return this.cache;
  }
}
