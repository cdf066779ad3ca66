import {InvalidArgumentError} from '../../../base/errors.js';
import {count} from '../../../base/units.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import type {Tokenizer} from '../../../models/tokenizer/index.js';

/** Two models by names that differ: by their sources if they have the same name. */
export function namesOf(model: LoadedModel, against: LoadedModel): {model: string; against: string} {
  return model.name === against.name
    ? {model: model.source, against: against.source}
    : {model: model.name, against: against.name};
}

/**
 * Likelihoods can be compared only if each id means the same.
 * @throws InvalidArgumentError if the vocabularies differ: it says in what.
 */
export function checkSameVocabulary(model: LoadedModel, against: LoadedModel): void {
  const difference = differenceOf(model, against);
  if (difference === undefined) return;
  const names = namesOf(model, against);
  throw new InvalidArgumentError(
    `${names.model} and ${names.against} have different vocabularies: ${difference}. Give --against the model that --model was made of.`,
  );
}

function differenceOf(a: LoadedModel, b: LoadedModel): string | undefined {
  for (const sizeOf of [
    ({config}: LoadedModel) => config.vocabSize,
    ({tokenizer}: LoadedModel) => tokenizer.vocabSize,
  ]) {
    if (sizeOf(a) !== sizeOf(b)) return `${count(sizeOf(a))} and ${count(sizeOf(b))} tokens`;
  }
  for (let id = 0; id < a.tokenizer.vocabSize; id++) {
    const [one, other] = [tokenOf(a.tokenizer, id), tokenOf(b.tokenizer, id)];
    if (one !== other) return `token ${id} is ${JSON.stringify(one)} and ${JSON.stringify(other)}`;
  }
  return undefined;
}

/** '' for an id that the vocabulary leaves out. */
function tokenOf(tokenizer: Tokenizer, id: number): string {
  try {
    return tokenizer.token(id);
  } catch {
    return '';
  }
}
