import {ContextLengthError, InvalidArgumentError, shown} from '../../../base/errors.js';
import {count} from '../../../base/units.js';
import {textIds} from '../../../models/model_like.js';
import type {Tokenizer} from '../../../models/tokenizer/index.js';
import type {TaskQuestion, TaskSample} from './task.js';

/** A sample as ids. */
export interface PreparedSample {
  readonly context: readonly number[];
  readonly questions: readonly PreparedQuestion[];
}

/** A question as ids, in the order in which the cache takes them. */
export interface PreparedQuestion {
  readonly source: TaskQuestion;
  /** The turn before; often empty. */
  readonly earlier: readonly number[];
  /** The question with the prefix of its answer. */
  readonly asked: readonly number[];
  /** Empty if there is nothing to choose from. */
  readonly candidates: readonly (readonly number[])[];
  /** The index of the right answer among the candidates; -1 if there are none. */
  readonly right: number;
  /** Tokens to write. */
  readonly newTokens: number;
}

/**
 * Returns a sample as ids.
 * @param name what messages call it, without an article.
 * @throws InvalidArgumentError if it has no context, or a question has no text, no answer, or candidates that lack the answer, are
 *   empty or there twice.
 */
export function prepared(
  {context, questions}: TaskSample,
  tokenizer: Tokenizer,
  name: string,
): PreparedSample {
  return {
    context: textIds(tokenizer, context, `The context of the ${name}`),
    questions: questions.map(question => preparedQuestion(question, tokenizer, name)),
  };
}

function preparedQuestion(source: TaskQuestion, tokenizer: Tokenizer, name: string): PreparedQuestion {
  const {earlier = '', question, answerPrefix, answers, candidates = []} = source;
  const encode = (text: string) => tokenizer.encode(text, {addSpecial: false, parseSpecial: false});
  const asking = question + answerPrefix;
  const asked = encode(asking);
  /** As the model would go on: a tokenizer may write a word at the start of a text in another way. */
  const continued = (text: string) => {
    const whole = encode(asking + text);
    return asked.every((id, i) => whole[i] === id) ? whole.slice(asked.length) : encode(text);
  };
  const answerIds = answers.map(continued);
  const right = candidates.indexOf(answers[0] ?? '');
  if (asked.length === 0) {
    throw new InvalidArgumentError(
      `A question of the ${name} has no text; give it a question or an answer prefix.`,
    );
  }
  if (answerIds.length === 0 || answerIds.some(({length}) => length === 0)) {
    throw new InvalidArgumentError(
      `A question of the ${name} has no answer, or an empty one; give the text that is right.`,
    );
  }
  if (candidates.length > 0 && right < 0) {
    throw new InvalidArgumentError(
      `The candidates of a question of the ${name} lack its answer; put it among them.`,
    );
  }
  const candidateIds = candidates.map(continued);
  if (new Set(candidates).size < candidates.length || candidateIds.some(({length}) => length === 0)) {
    throw new InvalidArgumentError(
      `The candidates of a question of the ${name} are ${shown(candidates)}; give different ones, none of them empty.`,
    );
  }
  return {
    ...{source, asked, right, earlier: encode(earlier), candidates: candidateIds},
    newTokens: source.newTokens ?? Math.max(...answerIds.map(({length}) => length)),
  };
}

/** Returns the tokens of the cache after the longest question and its answer. */
function longestRun({context, questions}: PreparedSample): number {
  const longest = questions.map(({earlier, asked, candidates, newTokens}) => {
    const answer = Math.max(newTokens, ...candidates.map(({length}) => length));
    return earlier.length + asked.length + answer;
  });
  return context.length + Math.max(...longest);
}

/** @throws ContextLengthError if a sample with its questions is longer than the context of the model. */
export function expectFits(sample: PreparedSample, contextLength: number, name: string): void {
  const needed = longestRun(sample);
  if (needed <= contextLength) return;
  throw new ContextLengthError(
    `The ${name} takes ${count(needed)} tokens with a question and its answer, but the model's context holds ` +
      `${count(contextLength)}; give shorter contexts.`,
  );
}
