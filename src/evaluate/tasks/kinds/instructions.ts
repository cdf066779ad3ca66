import {seededRandom} from '../../../../base/random.js';
import {woven} from '../material/prose.js';
import {names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

/** Two instructions at the start of the prompt: a cache that drops one of them follows only the other. */
export const instructions: Task = {
  name: 'instructions',
  description: 'two instructions at the start of a long prompt, each to be followed',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const words = shuffled(wordsFor(setting.tokenizer), random).slice(0, 8);
    const people = shuffled(names, random).slice(0, 2);
    const [one, other] = people.map((name, i) => `begin every letter to ${name} with the word ${words[i]!}`);
    const opening = `Two instructions: ${one!}, and ${other!}.`;
    return {
      context: woven({task: 'instructions', inserts: [], opening}, setting, random),
      questions: people.map((name, i) => ({
        question: '\n\nAs instructed, ',
        answerPrefix: `begin the letter to ${name} with the word`,
        answers: [` ${words[i]!}`],
        candidates: words.map(word => ` ${word}`),
      })),
    };
  },
};
