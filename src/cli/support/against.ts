import {InvalidArgumentError} from '../../../base/errors.js';
import {count} from '../../../base/units.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import type {Tokenizer} from '../../../models/tokenizer/index.js';

type Named = Pick<LoadedModel, 'name' | 'source' | 'weights'>;

/** Returns different names for two models: their sources if their names are equal, with their weights if they are the same model. */
export function namesOf(model: Named, against: Named): {model: string; against: string} {
  const nameOf = ({name, source, weights}: Named) => {
    if (model.name !== against.name) return name;
    return model.source === against.source ? `${source} (${weights})` : source;
  };
  return {model: nameOf(model), against: nameOf(against)};
}

/**
 * Checks that each id stands for the same token in both models; otherwise likelihoods cannot be compared.
 * @throws InvalidArgumentError if the vocabularies differ; the message says how.
 */
export function checkSameVocabulary(model: LoadedModel, against: LoadedModel): void {
  const difference = differenceOf(model, against);
  if (difference === undefined) return;
  const names = namesOf(model, against);
  throw new InvalidArgumentError(
    `${names.model} and ${names.against} have different vocabularies: ${difference}. Give the original of --model as --against.`,
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

/** The text of an id; empty if the vocabulary does not have it. */
function tokenOf(tokenizer: Tokenizer, id: number): string {
  try {
    return tokenizer.token(id);
  } catch {
    return '';
  }
}
