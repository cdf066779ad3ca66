import type {Policy} from '../../cache/contract.js';
import type * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import type {Plan} from '../../cache/plans/plan.js';
import type {Prediction} from './compare_logits.js';
import {measuredStep} from './measured_step.js';
import {policyLabel} from './policy_label.js';
import type {EvaluationRow} from './report.js';
import {mean, median, perplexityOf} from './statistics.js';

/** Single-token steps that count for the speed of decoding: the last ones, the earlier ones warm up. */
const timedSteps = 16;

/** One policy on its way through a text: its cache, and what was measured so far. */
export class PolicyRun {
  private cache: KVCache | undefined;
  private bytes: Pick<EvaluationRow, 'bytesPerToken' | 'ratioToFloat32' | 'ratioToFloat16'> | undefined;
  private readonly nlls: number[] = [];
  private readonly divergences: number[] = [];
  private agreements = 0;
  private readonly prefill = {tokens: 0, ms: 0};
  private readonly decodeMs: number[] = [];
  /** Tensor bytes that belong to the cache now: its past and its tables. */
  private heldBytes = 0;
  private peakBytes = 0;

  /** @param name of the model, where it is not the one that all are compared with. */
  constructor(
    private readonly model: tf.LayersModel,
    private readonly policy: Plan | Policy,
    private readonly name?: string,
  ) {}

  /** A fresh cache for a window of the text. */
  startWindow(tokens: number): void {
    this.dispose();
    this.cache = new KVCache(this.model, this.policy, {expectedTokens: tokens});
  }

  /** Takes ids in and gives the logits of all of them. */
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

  count(predictions: readonly Prediction[]): void {
    for (const {nll, klDivergence, agrees} of predictions) {
      this.nlls.push(nll);
      this.divergences.push(klDivergence);
      if (agrees) this.agreements++;
    }
  }

  /** What the keys and values of all tokens so far take as float32. */
  float32Bytes(): number {
    return this.currentCache()
      .report()
      .reduce((sum, depth) => sum + depth.float32Bytes, 0);
  }

  /** Bytes as they are now, at the end of a window, beside those of all keys and values in float32. */
  measureBytes(float32Bytes: number): void {
    const {byteSize, tokens} = this.currentCache();
    this.bytes = {
      bytesPerToken: byteSize / tokens,
      ratioToFloat32: byteSize / float32Bytes,
      ratioToFloat16: byteSize / (float32Bytes / 2),
    };
  }

  row(): EvaluationRow {
    if (this.bytes === undefined) throw new Error('No window was measured yet.');
    return {
      policy:
        this.name === undefined ? policyLabel(this.policy) : `${this.name}, ${policyLabel(this.policy)}`,
      ...perplexityOf(this.nlls),
      klDivergence: mean(this.divergences),
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
    if (this.cache === undefined) throw new Error('A window must be started first.');
    return this.cache;
  }
}
