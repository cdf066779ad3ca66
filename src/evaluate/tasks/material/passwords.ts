import type {TaskQuestion, TaskSample, TaskSetting} from '../task.js';
import {woven} from './prose.js';
import {names, shuffled, wordsFor} from './words.js';

/** Says a password, which `passwordQuestion` asks for. */
export const passwordOf = (name: string, word: string) => `The password of ${name} is ${word}.`;

/** Asks for the password of a person. */
export function passwordQuestion(name: string, word: string, candidates: readonly string[]): TaskQuestion {
  return {
    question: `\n\nQuestion: What is the password of ${name}?\n`,
    answerPrefix: `Answer: The password of ${name} is`,
    answers: [` ${word}`],
    candidates: candidates.map(candidate => ` ${candidate}`),
  };
}

/** Eight passwords in prose, and a question for each; the other seven words are wrong answers. */
export function passwordsInProse(task: string, setting: TaskSetting, random: () => number): TaskSample {
  const words = shuffled(wordsFor(setting.tokenizer), random).slice(0, 8);
  const people = shuffled(names, random).slice(0, words.length);
  const inserts = people.map((name, i) => passwordOf(name, words[i]!));
  return {
    context: woven({task, inserts, opening: 'Remember the passwords.'}, setting, random),
    questions: people.map((name, i) => passwordQuestion(name, words[i]!, words)),
  };
}
