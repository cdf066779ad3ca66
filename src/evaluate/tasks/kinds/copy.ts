import {InvalidArgumentError} from '../../../../base/errors.js';
import {seededRandom} from '../../../../base/random.js';
import {copies, wordsToCopy} from '../material/copies.js';
import {expectRoom, tokensOfSentence, woven} from '../material/prose.js';
import {shuffled} from '../material/words.js';
import type {Task} from '../task.js';

/** Questions of a context. */
const [fewest, most] = [4, 8];

/** Beginnings in the text that are tried: a part of it may have few sentences that are long enough. */
const attempts = 16;

export const copy: Task = {
  name: 'copy',
  description: 'prose; the rest of a sentence that the question begins',
  sample: setting => {
    const random = seededRandom(setting.seed);
    expectRoom('copy', setting.tokens, 2 * fewest * tokensOfSentence(setting));
    for (let attempt = 0; attempt < attempts; attempt++) {
      const {context, sentences} = woven({task: 'copy', inserts: []}, setting, random);
      const questions = copies(context, shuffled(sentences, random), most);
      if (questions.length >= fewest) return {context, questions};
    }
    throw new InvalidArgumentError(
      `The text has fewer than ${fewest} sentences of ${wordsToCopy} words within ${setting.tokens} tokens to copy; give longer contexts or another text.`,
    );
  },
};
