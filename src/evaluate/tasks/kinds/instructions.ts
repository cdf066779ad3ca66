import {seededRandom} from '../../../../base/random.js';
import {choices, letterInstructions} from '../material/facts.js';
import {woven} from '../material/prose.js';
import {names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

/** Two instructions at the start of the prompt: a cache that drops one of them follows only the other. */
export const instructions: Task = {
  name: 'instructions',
  description: 'two instructions at the start of a long prompt, each to be followed',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const words = shuffled(wordsFor(setting.tokenizer), random).slice(0, choices);
    const {inserts, questions} = letterInstructions(shuffled(names, random).slice(0, 2), words);
    const {context} = woven({task: 'instructions', inserts, places: [0]}, setting, random);
    return {context, questions};
  },
};
