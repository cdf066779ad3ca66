import {InvalidArgumentError} from '../../base/errors.js';
import {type LogitProcessor, type SamplingOptions, biasEntries} from './options.js';

/** What changes logits before a token is chosen. */
export interface Processing extends Pick<
  SamplingOptions,
  'logitBias' | 'repetitionPenalty' | 'presencePenalty' | 'frequencyPenalty'
> {
  readonly processors: readonly LogitProcessor[];
}

/**
 * The logits from which a token is chosen: `logitBias` is added, then `repetitionPenalty` (over all ids) and the presence and frequency
 * penalties (over the generated ones, as vLLM and OpenAI do) apply, then each processor. The order is that of transformers' generate().
 *
 * @param logits stay as they are.
 * @param start where the generated ids begin in `ids`.
 * @throws InvalidArgumentError if a bias is of an id that the model does not have, a logit becomes NaN or Infinity, or no token is left.
 */
export async function processedLogits(
  logits: Float32Array,
  ids: readonly number[],
  start: number,
  {logitBias = {}, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, processors}: Processing,
): Promise<Float32Array> {
  const changed = Float32Array.from(logits);
  for (const [id, bias] of biasEntries(logitBias)) {
    if (id < 0 || id >= changed.length) {
      throw new InvalidArgumentError(
        `logitBias names the token ${id}; this model has the ids 0 to ${changed.length - 1}.`,
      );
    }
    changed[id]! += bias;
  }
  if (repetitionPenalty !== 1) {
    for (const id of new Set(ids)) {
      const logit = changed[id]!;
      changed[id] = logit < 0 ? logit * repetitionPenalty : logit / repetitionPenalty;
    }
  }
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    const generated = ids.slice(start);
    for (const id of new Set(generated)) changed[id]! -= presencePenalty;
    for (const id of generated) changed[id]! -= frequencyPenalty;
  }
  for (const id of ids) checkPenalised(changed[id]!, logits[id]!, id);
  for (const processor of processors) {
    const returned: unknown = await processor(changed, ids, start);
    if (returned === undefined) continue;
    throw new InvalidArgumentError(
      'A logit processor returned a value; it changes the logits that it gets in place.',
    );
  }
  if (processors.length + biasEntries(logitBias).length > 0) checkSome(changed, logits);
  return changed;
}

/** Whether anything is to be done. */
export function processes({
  logitBias = {},
  repetitionPenalty = 1,
  presencePenalty = 0,
  frequencyPenalty = 0,
  processors,
}: Processing): boolean {
  const penalties = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
  return penalties || processors.length > 0 || biasEntries(logitBias).length > 0;
}

/** @throws InvalidArgumentError if penalties led out of float32. */
function checkPenalised(changed: number, logit: number, id: number): void {
  if (changed < Infinity || !(logit < Infinity)) return;
  throw new InvalidArgumentError(
    `logitBias and penalties make ${changed} of the logit ${logit} of token ${id}; give smaller ones, and a larger repetitionPenalty.`,
  );
}

/** What the model itself gives is judged where it is sampled. */
function checkSome(changed: Float32Array, logits: Float32Array): void {
  if (logits.some(Number.isNaN)) return;
  const isNumber = changed.every(logit => !Number.isNaN(logit) && logit < Infinity);
  if (isNumber && changed.some(logit => logit > -Infinity)) return;
  throw new InvalidArgumentError(
    isNumber
      ? 'logitBias and processors forbid every token; leave one, such as an end token.'
      : 'logitBias or a processor made a logit NaN or Infinity; forbid a token with -Infinity.',
  );
}
