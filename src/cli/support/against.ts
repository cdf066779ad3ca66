import {planOfLayers} from '../../../cache/plans/of_layers.js';
import {layerShapes} from '../../../cache/binding/attention_layers.js';
import type {Plan} from '../../../cache/plans/plan.js';
import type {LoadedModel, Tokenizer} from '../../../models/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {embeddedName} from './model_name.js';
import {count} from '../../../base/units.js';

export const againstArg = {
  against: {
    type: 'string',
    description:
      'Compare with the full cache of this model: the one that "eigenkv compress" made --model of, or ' +
      `${embeddedName}, which comes along`,
    valueHint: 'MODEL',
  },
} as const;

/** Two models by names that differ: by where they are from, where they call themselves the same. */
export function namesOf(model: LoadedModel, against: LoadedModel): {model: string; against: string} {
  return model.name === against.name
    ? {model: model.source, against: against.source}
    : {model: model.name, against: against.name};
}

/** What the layers of a model ask for in a cache without a plan. */
export function ownPlan({model}: LoadedModel): Plan {
  return planOfLayers(layerShapes(model));
}

/**
 * Likelihoods compare only where each id means the same.
 * @throws InvalidArgumentError where the vocabularies differ: it says in what.
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

/** '' where the vocabulary has a hole. */
function tokenOf(tokenizer: Tokenizer, id: number): string {
  try {
    return tokenizer.token(id);
  } catch {
    return '';
  }
}
