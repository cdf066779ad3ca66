import type {LoadedModel} from '../../../models/index.js';
import {checkIds} from '../../../models/token_ids.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {textIds} from '../text.js';

/** A text, or its ids. */
export type TextOrIds = string | readonly number[];

/** What of a loaded model goes through texts. */
export type WatchedModel = Pick<LoadedModel, 'model' | 'config' | 'tokenizer'>;

/**
 * The ids of texts, each cut to `tokens` and to the model's context.
 * @throws InvalidArgumentError where there is no text, or an empty one, or an id is none of the vocabulary.
 */
export function measuredIds(
  {model, tokenizer, config}: WatchedModel,
  texts: readonly TextOrIds[],
  tokens: number,
): number[][] {
  if (texts.length === 0) throw new InvalidArgumentError('There are no texts; give one or more.');
  return texts.map((text, index) => {
    const name = texts.length === 1 ? 'The text' : `Text ${index}`;
    const ids = typeof text === 'string' ? textIds(tokenizer, text, name) : text;
    if (ids.length === 0) throw new InvalidArgumentError(`${name} has no tokens; give some to measure.`);
    checkIds(ids, model);
    return ids.slice(0, Math.min(tokens, config.contextLength));
  });
}
