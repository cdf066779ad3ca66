import {seededRandom} from '../../../../base/random.js';
import {passwordOf, passwordQuestion} from '../material/passwords.js';
import {woven} from '../material/prose.js';
import {drawn, names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

export const needle: Task = {
  name: 'needle',
  description: 'one password, anywhere in prose',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const name = drawn(names, random);
    const candidates = shuffled(wordsFor(setting.tokenizer), random).slice(0, 8);
    const word = candidates[0]!;
    const opening = 'Remember the password.';
    const inserts = {task: 'needle', inserts: [passwordOf(name, word)], places: [random()], opening};
    return {context: woven(inserts, setting, random), questions: [passwordQuestion(name, word, candidates)]};
  },
};
