import {seededRandom} from '../../../../base/random.js';
import {pairs} from '../material/facts.js';
import {woven} from '../material/prose.js';
import {drawn, names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

/** Pairs of a context, at most, and the tokens of prose for each of them, at least. */
const [mostPairs, tokensPerPair] = [32, 32];

/** Pairs that are asked for. */
const asked = 8;

export const kv: Task = {
  name: 'kv',
  description: 'up to 32 pairs such as (Amber: tiger) in prose, eight of them asked for',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const fitting = Math.max(asked, Math.floor(setting.tokens / tokensPerPair));
    const people = shuffled(names, random).slice(0, Math.min(mostPairs, fitting));
    const words = wordsFor(setting.tokenizer);
    const {inserts, questions} = pairs(
      people,
      people.map(() => drawn(words, random)),
    );
    const {context} = woven({task: 'kv', inserts}, setting, random);
    return {context, questions: shuffled(questions, random).slice(0, asked)};
  },
};
