import type {TaskQuestion} from '../task.js';

/** Words of a sentence that the question repeats, and those after them that are the answer. */
const [repeated, asked] = [6, 3];

/** Words that a sentence must have to be asked for. */
export const wordsToCopy = repeated + asked;

interface Parts {
  readonly beginning: string;
  readonly answer: string;
}

/**
 * Asks for the continuation of sentences of a context; the answers of the others are the wrong ones. Sentences that are too short, or begin
 * like others, are left out.
 * @param most questions.
 */
export function copies(context: string, sentences: readonly string[], most: number): TaskQuestion[] {
  const parts = sentences.map(partsOf);
  const chosen = parts.filter(part => isClear(part, context) && occursOnce(part, parts)).slice(0, most);
  const candidates = chosen.map(({answer}) => answer);
  return chosen.map(({beginning, answer}) => ({
    question: '\n\nA sentence of this text once more:\n',
    ...{answerPrefix: beginning, answers: [answer], candidates},
  }));
}

function partsOf(sentence: string): Parts {
  const words = sentence.split(' ');
  return {
    beginning: words.slice(0, repeated).join(' '),
    answer: words.length < wordsToCopy ? '' : ` ${words.slice(repeated, wordsToCopy).join(' ')}`,
  };
}

/** Whether the sentence is long enough, and no other begins like it. */
const isClear = ({beginning, answer}: Parts, context: string) =>
  answer !== '' && context.indexOf(beginning) === context.lastIndexOf(beginning);

/** Whether no other question has this answer, or gives it away. */
const occursOnce = ({answer}: Parts, all: readonly Parts[]) =>
  all.filter(other => `${other.beginning}${other.answer}`.includes(answer.trim())).length === 1;
