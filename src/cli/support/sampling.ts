import type {GenerateOptions, SamplingOptions} from '../../../models/generate/options.js';
import {
  type Argument,
  type ArgumentValues,
  number,
  positiveNumber,
  share,
  texts,
  wholeNumber,
  withDefault,
} from './arguments.js';
import {UsageError} from './usage_error.js';

const anyNumber = (description: string) => number(description, 'a number', Number.isFinite);

const logitBias: Argument<ReadonlyMap<number, number>> = {
  ...texts('Add this to the logit of a token; -Infinity forbids it', 'ID=BIAS'),
  read(values, name) {
    return new Map(
      values.map(value => {
        const [, id, bias] = /^(\d+)=(\S+)$/.exec(value) ?? [];
        if (id !== undefined && Number(bias) < Infinity) return [Number(id), Number(bias)];
        throw new UsageError(
          `${name} = "${value}"; expected a token's id and a number, such as 17=-Infinity.`,
        );
      }),
    );
  },
};

/** How the next token is chosen: options of commands that generate. */
export const samplingArgs = {
  temperature: withDefault(
    positiveNumber('Sampling temperature; 0 always takes the most probable token'),
    '0',
  ),
  topK: wholeNumber('Sample from the k most probable tokens'),
  topP: share('Sample from the fewest tokens whose probabilities sum to this'),
  minP: number(
    'Sample from tokens of at least this share of the largest probability',
    'a number from 0 to 1',
    x => x >= 0 && x <= 1,
  ),
  typicalP: share('Sample from the typical tokens whose probabilities sum to this'),
  repetitionPenalty: number(
    'Divide logits of tokens that were there, if positive, by this; 1 changes nothing',
    'a number above 0',
    x => x > 0 && x < Infinity,
  ),
  presencePenalty: anyNumber('Subtract this from logits of tokens that were generated'),
  frequencyPenalty: anyNumber('Subtract this from the logit of a token for each time that it was generated'),
  logitBias,
  seed: wholeNumber('The same seed gives the same text', 0),
  stop: texts('Stop before this text'),
};

/** The options of `generate` that these arguments give. */
export type SamplingChoice = SamplingOptions & Pick<GenerateOptions, 'seed' | 'stop'>;

export function samplingOf(args: ArgumentValues<typeof samplingArgs>): SamplingChoice {
  const {temperature, topK, topP, minP, typicalP, logitBias, seed, stop} = args;
  const {repetitionPenalty, presencePenalty, frequencyPenalty} = args;
  return {
    ...{temperature, topK, topP, minP, typicalP, logitBias, seed, stop},
    ...{repetitionPenalty, presencePenalty, frequencyPenalty},
  };
}
