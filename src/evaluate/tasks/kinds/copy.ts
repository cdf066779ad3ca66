import {InvalidArgumentError} from '../../../../base/errors.js';
import {seededRandom} from '../../../../base/random.js';
import {Prose, expectRoom, tokensOfSentence} from '../material/prose.js';
import {shuffled} from '../material/words.js';
import type {Task, TaskSample} from '../task.js';

/** Words of a sentence that the question repeats, and those after them that are the answer. */
const [repeated, asked] = [6, 3];

/** Questions of a context; their answers are the wrong ones of the others. */
const [fewest, most] = [4, 8];

export const copy: Task = {
  name: 'copy',
  description: 'prose; the rest of a sentence that the question begins',
  sample: setting => {
    const random = seededRandom(setting.seed);
    expectRoom('copy', setting.tokens, 2 * fewest * tokensOfSentence(setting));
    for (let attempt = 0; attempt < attempts; attempt++) {
      const {sentences} = new Prose(setting, random).upTo(setting.tokens - 2);
      const context = sentences.join(' ');
      const parts = shuffled(sentences, random).map(partsOf);
      const chosen = parts.filter(part => isClear(part, context) && occursOnce(part, parts)).slice(0, most);
      if (chosen.length >= fewest) return sampleOf(context, chosen);
    }
    throw new InvalidArgumentError(
      `The text has fewer than ${fewest} sentences of ${repeated + asked} words within ${setting.tokens} tokens to copy; give longer contexts or another text.`,
    );
  },
};

/** Beginnings in the text that are tried: a part of it may have few sentences that are long enough. */
const attempts = 16;

interface Parts {
  readonly beginning: string;
  readonly answer: string;
}

function partsOf(sentence: string): Parts {
  const words = sentence.split(' ');
  const end = repeated + asked;
  return {
    beginning: words.slice(0, repeated).join(' '),
    answer: words.length < end ? '' : ` ${words.slice(repeated, end).join(' ')}`,
  };
}

function sampleOf(context: string, chosen: readonly Parts[]): TaskSample {
  const candidates = chosen.map(({answer}) => answer);
  return {
    context,
    questions: chosen.map(({beginning, answer}) => ({
      question: '\n\nA sentence of this text once more:\n',
      ...{answerPrefix: beginning, answers: [answer], candidates},
    })),
  };
}

/** Whether the sentence is long enough, and no other begins like it. */
const isClear = ({beginning, answer}: Parts, context: string) =>
  answer !== '' && context.indexOf(beginning) === context.lastIndexOf(beginning);

/** Whether no other question has this answer, or gives it away. */
const occursOnce = ({answer}: Parts, all: readonly Parts[]) =>
  all.filter(other => `${other.beginning}${other.answer}`.includes(answer.trim())).length === 1;
