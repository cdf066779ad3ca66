import {seededRandom} from '../../../../base/random.js';
import {woven} from '../material/prose.js';
import {drawn, names, shuffled, wordsFor} from '../material/words.js';
import type {Task} from '../task.js';

/** Pairs of a context, at most, and the tokens of prose for each of them, at least. */
const [mostPairs, tokensPerPair] = [32, 32];

/** Pairs that are asked for, and answers to choose from. */
const [asked, choices] = [8, 8];

export const kv: Task = {
  name: 'kv',
  description: 'up to 32 pairs such as (Amber: tiger) in prose, eight of them asked for',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const words = wordsFor(setting.tokenizer);
    const pairs = shuffled(names, random)
      .slice(0, Math.min(mostPairs, Math.max(asked, Math.floor(setting.tokens / tokensPerPair))))
      .map(name => ({name, word: drawn(words, random)}));
    const values = [...new Set(pairs.map(({word}) => word))];
    const inserts = pairs.map(({name, word}) => `(${name}: ${word})`);
    return {
      context: woven({task: 'kv', inserts}, setting, random),
      questions: shuffled(pairs, random)
        .slice(0, asked)
        .map(({name, word}) => {
          const others = shuffled(values, random).filter(value => value !== word);
          const candidates = [word, ...others].slice(0, choices);
          return {
            question: '\n\n',
            answerPrefix: `(${name}:`,
            answers: [` ${word}`],
            candidates: candidates.map(candidate => ` ${candidate}`),
          };
        }),
    };
  },
};
