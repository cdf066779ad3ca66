import {seededRandom} from '../../../../base/random.js';
import {choices, passwords} from '../material/facts.js';
import {woven} from '../material/prose.js';
import {names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

export const needle: Task = {
  name: 'needle',
  description: 'one password, anywhere in prose',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const words = shuffled(wordsFor(setting.tokenizer), random).slice(0, choices);
    const facts = passwords(shuffled(names, random).slice(0, 1), words);
    const opening = 'Remember the password.';
    const {inserts, questions} = facts;
    const {context} = woven({task: 'needle', inserts, places: [random()], opening}, setting, random);
    return {context, questions};
  },
};
