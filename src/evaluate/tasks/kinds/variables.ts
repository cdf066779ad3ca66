import {seededRandom} from '../../../../base/random.js';
import {woven} from '../material/prose.js';
import {shuffled} from '../material/words.js';
import type {Task} from '../task.js';

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split('');

/** Chains of a context, of two variables each. */
const chains = 4;

/**
 * Assignments such as `VAR A = 12345.` and, later, `VAR B = VAR A.` The question repeats the second one, and the answer is the number of
 * the first. (Models of a hundred million parameters do not follow a chain that the question leaves out.)
 */
export const variables: Task = {
  name: 'variables',
  description: 'four numbers in prose, each assigned to a variable and passed on to another',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const numbers = new Set<string>();
    while (numbers.size < chains) numbers.add(String(Math.floor(10_000 + 90_000 * random())));
    const names = shuffled(letters, random);
    const links = [...numbers].map((value, i) => ({value, first: names[2 * i]!, second: names[2 * i + 1]!}));
    const inserts = links.flatMap(({value, first, second}) => [
      `VAR ${first} = ${value}.`,
      `VAR ${second} = VAR ${first}.`,
    ]);
    return {
      context: woven({task: 'variables', inserts}, setting, random),
      questions: links.map(({value, first, second}) => ({
        question: '\n\n',
        answerPrefix: `VAR ${second} = VAR ${first} =`,
        answers: [` ${value}`],
        candidates: [...numbers].map(number => ` ${number}`),
      })),
    };
  },
};
