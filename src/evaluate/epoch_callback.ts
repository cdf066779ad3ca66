import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions} from '../../base/options.js';
import {type ModelLike, type TextLike, idsOfTexts} from '../../models/model_like.js';
import {type EvaluateOptions, evaluate, evaluateEntries} from './evaluate.js';
import type {EvaluationRow} from './evaluation.js';

export interface EpochCallbackOptions extends Omit<EvaluateOptions, 'compared'> {
  /** Evaluate every this many epochs, and after the last one. Default 1. */
  readonly every?: number;
  /** Called with the rows of an epoch after each evaluation; training waits for it. */
  readonly onRows?: (rows: readonly EpochRow[]) => void | Promise<void>;
}

/** The evaluation of a plan after an epoch. */
export interface EpochRow extends EvaluationRow {
  /** Counted from 0, as tfjs does. */
  readonly epoch: number;
  /** The training loss of that epoch, if `fit` reports it. */
  readonly loss?: number;
}

const schema = v.strictObject({
  ...evaluateEntries,
  every: v.optional(atLeast(1), 1),
  onRows: v.optional(
    v.custom<NonNullable<EpochCallbackOptions['onRows']>>(
      given => typeof given === 'function',
      'expected a function',
    ),
  ),
});

/**
 * Evaluates plans on a held-out text at the end of epochs, while a model trains:
 *
 *     const evaluation = epochCallback({model, tokenizer}, text, {plans: [quantized({bits: 4})], every: 5});
 *     await model.fit(ids, targets, {epochs: 50, callbacks: [evaluation]});
 *     evaluation.rows;   // one for `full` and one for each plan, epoch by epoch
 *
 * Training waits during an evaluation. Arguments and rows are those of `evaluate`.
 *
 * @param model the model that is trained.
 * @param texts texts that the model is not trained on.
 * @throws InvalidArgumentError if texts or options are not allowed.
 */
export function epochCallback(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: EpochCallbackOptions = {},
): EpochEvaluation {
  return new EpochEvaluation(model, texts, options);
}

/** The callback that `epochCallback` returns. */
export class EpochEvaluation extends tf.Callback {
  /** The rows of all evaluated epochs so far, in order. */
  readonly rows: EpochRow[] = [];
  private readonly texts: readonly (readonly number[])[];
  private readonly options: v.InferOutput<typeof schema>;

  constructor(
    private readonly evaluated: ModelLike,
    texts: TextLike | readonly TextLike[],
    options: EpochCallbackOptions,
  ) {
    super();
    this.options = checkOptions('epochCallback', schema, options);
    this.texts = idsOfTexts(evaluated, texts, this.options.tokens);
  }

  override async onEpochEnd(epoch: number, logs: Record<string, unknown> = {}): Promise<void> {
    const {every, onRows, ...options} = this.options;
    const isLast = epoch + 1 === this.params['epochs'];
    if (!isLast && (epoch + 1) % every !== 0) return;
    const {rows} = await evaluate(this.evaluated, this.texts, options);
    const loss = await numberOf(logs['loss']);
    const fresh = rows.map(row => ({epoch, ...(loss !== undefined && {loss}), ...row}));
    this.rows.push(...fresh);
    await onRows?.(fresh);
  }
}

/** A value in the logs of `fit` may still be a tensor, which `fit` disposes. */
async function numberOf(log: unknown): Promise<number | undefined> {
  if (log instanceof tf.Tensor) return (await log.data<'float32'>())[0];
  return typeof log === 'number' ? log : undefined;
}
