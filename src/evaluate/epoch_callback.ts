import type {PolicyLike} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import type {Plan} from '../../cache/plans/plan.js';
import type {Tokenizer} from '../../models/tokenizer/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {type EvaluateOptions, evaluate} from './evaluate.js';
import type {EvaluationRow} from './report.js';
import {textIds} from './text.js';

export interface EpochCallbackOptions extends Pick<EvaluateOptions, 'step' | 'tokens' | 'signal'> {
  /** What to compare with `full`, which is always evaluated. */
  readonly plans?: readonly (Plan | PolicyLike)[];
  /** A text that the model is not trained on, or its ids. */
  readonly text: string | readonly number[];
  /** Needed where `text` is no ids. */
  readonly tokenizer?: Tokenizer;
  /** Evaluate after every so many epochs, and after the last one. Default 1. */
  readonly every?: number;
  /** Longer texts are cut into windows of this many tokens. Default: all of the text is one. */
  readonly contextLength?: number;
  /** Told of the rows of an epoch as soon as they are there. */
  readonly onRows?: (rows: readonly EpochRow[]) => void | Promise<void>;
}

/** What a policy cost and saved after an epoch. */
export interface EpochRow extends EvaluationRow {
  /** From 0, as tfjs counts. */
  readonly epoch: number;
  /** The training loss of that epoch, where `fit` says it. */
  readonly loss?: number;
}

/**
 * Evaluates policies on a held-out text at the end of epochs, while a model trains:
 *
 *     const evaluation = epochCallback({plans: [quantized({bits: 4})], text, tokenizer, every: 5});
 *     await model.fit(ids, targets, {epochs: 50, callbacks: [evaluation]});
 *     evaluation.rows;   // one for `full` and one for each plan, epoch by epoch
 *
 * Training waits meanwhile. See `evaluate` for what the rows say.
 *
 * @throws InvalidArgumentError for a text without a tokenizer, or an `every` that is no whole number from 1 on.
 */
export function epochCallback(options: EpochCallbackOptions): EpochEvaluation {
  return new EpochEvaluation(options);
}

/** The callback that `epochCallback` makes. */
export class EpochEvaluation extends tf.Callback {
  private readonly found: EpochRow[] = [];
  private readonly ids: readonly number[];
  private readonly every: number;

  constructor(private readonly options: EpochCallbackOptions) {
    super();
    const {every = 1} = options;
    if (!Number.isSafeInteger(every) || every < 1) {
      throw new InvalidArgumentError(`epochCallback: every = ${every}; expected a whole number >= 1.`);
    }
    this.every = every;
    this.ids = idsOf(options);
  }

  /** The rows so far, epoch by epoch. */
  get rows(): readonly EpochRow[] {
    return this.found;
  }

  override async onEpochEnd(epoch: number, logs: Record<string, unknown> = {}): Promise<void> {
    const {epochs} = this.params;
    const isLast = epoch + 1 === epochs;
    if (!isLast && (epoch + 1) % this.every !== 0) return;
    const {plans = [], contextLength = this.ids.length, step, tokens, signal, onRows} = this.options;
    const measured = await evaluate({model: this.model, config: {contextLength}}, this.ids, {
      policies: plans,
      ...(step !== undefined && {step}),
      ...(tokens !== undefined && {tokens}),
      ...(signal && {signal}),
    });
    const loss = await numberOf(logs['loss']);
    const rows = measured.map(row => ({epoch, ...(loss !== undefined && {loss}), ...row}));
    this.found.push(...rows);
    await onRows?.(rows);
  }
}

/** A number among the logs of `fit` may still be a tensor, which is not ours to dispose of. */
async function numberOf(log: unknown): Promise<number | undefined> {
  if (log instanceof tf.Tensor) return (await log.data<'float32'>())[0];
  return typeof log === 'number' ? log : undefined;
}

function idsOf({text, tokenizer}: EpochCallbackOptions): readonly number[] {
  if (typeof text !== 'string') return text;
  if (tokenizer === undefined) {
    throw new InvalidArgumentError(
      'epochCallback got a text without a tokenizer; give one, or the ids of the text.',
    );
  }
  return textIds(tokenizer, text);
}
