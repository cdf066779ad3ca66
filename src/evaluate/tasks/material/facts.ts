import {shuffled} from './words.js';
import type {TaskQuestion} from '../task.js';

/** Sentences to remember, and a question for each or for some of them. */
export interface Facts {
  /** In the order in which they have to come. */
  readonly inserts: readonly string[];
  readonly questions: readonly TaskQuestion[];
}

const spaced = (words: readonly string[]) => words.map(word => ` ${word}`);

/** A password for each person, each asked for; the other words are the wrong answers. */
export function passwords(people: readonly string[], words: readonly string[]): Facts {
  return {
    inserts: people.map((name, i) => `The password of ${name} is ${words[i]!}.`),
    questions: people.map((name, i) => ({
      question: `\n\nQuestion: What is the password of ${name}?\n`,
      answerPrefix: `Answer: The password of ${name} is`,
      answers: [` ${words[i]!}`],
      candidates: spaced(words),
    })),
  };
}

/** Pairs such as (Amber: tiger), each asked for; wrong answers are the nearest other words. */
export function pairs(people: readonly string[], words: readonly string[]): Facts {
  return {
    inserts: people.map((name, i) => `(${name}: ${words[i]!})`),
    questions: people.map((name, i) => {
      const around = [...words.slice(i + 1), ...words.slice(0, i)];
      const others = [...new Set(around)].filter(word => word !== words[i]);
      return {
        question: '\n\n',
        answerPrefix: `(${name}:`,
        answers: [` ${words[i]!}`],
        candidates: spaced([words[i]!, ...others.slice(0, choices - 1)]),
      };
    }),
  };
}

/** Answers to choose from. */
export const choices = 8;

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split('');

/** Assignments in chains. */
const chains = 4;

/**
 * Assignments such as `VAR A = 12345.` and, later, `VAR B = VAR A.` The question repeats the second one, and the answer is the number of
 * the first. (Models of a hundred million parameters do not follow a chain that the question leaves out.)
 */
export function assignments(random: () => number): Facts {
  const numbers = new Set<string>();
  while (numbers.size < chains) numbers.add(String(Math.floor(10_000 + 90_000 * random())));
  const names = shuffled(letters, random);
  const links = [...numbers].map((value, i) => ({value, first: names[2 * i]!, second: names[2 * i + 1]!}));
  return {
    inserts: links.flatMap(({value, first, second}) => [
      `VAR ${first} = ${value}.`,
      `VAR ${second} = VAR ${first}.`,
    ]),
    questions: links.map(({value, first, second}) => ({
      question: '\n\n',
      answerPrefix: `VAR ${second} = VAR ${first} =`,
      answers: [` ${value}`],
      candidates: spaced([...numbers]),
    })),
  };
}

/** Two instructions; the words after the first two are only wrong answers. */
export function letterInstructions(people: readonly string[], words: readonly string[]): Facts {
  const [one, other] = people.map((name, i) => `begin every letter to ${name} with the word ${words[i]!}`);
  return {
    inserts: [`Two instructions: ${one!}, and ${other!}.`],
    questions: people.map((name, i) => ({
      question: '\n\nAs instructed, ',
      answerPrefix: `begin the letter to ${name} with the word`,
      answers: [` ${words[i]!}`],
      candidates: spaced(words),
    })),
  };
}
