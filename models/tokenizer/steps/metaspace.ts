import {ModelError} from '../../../base/errors.js';
import {type Fields, needBoolean, needCharacter, needWord} from './fields.js';
import {type Part, prepend, replaceAll, slicePart} from './part.js';
import {cutterOf} from './patterns.js';
import {splitStretches} from './split.js';

/** Where a space is written before a text: nowhere, at its very beginning, at the beginning of each part. */
const schemes = ['always', 'first', 'never'] as const;

interface Metaspace {
  /** The character that replaces a space: U+2581 in SentencePiece. */
  readonly replacement: string;
  readonly scheme: (typeof schemes)[number];
}

/** The fields that pre-tokenizer and decoder share. */
export function readMetaspace(step: Fields): Metaspace {
  const scheme = needWord(step, 'prepend_scheme', schemes, 'always');
  if (!needBoolean(step, 'add_prefix_space', true) && scheme !== 'never') {
    throw new ModelError(
      `The tokenizer has a Metaspace that adds no space (add_prefix_space) and adds one (prepend_scheme "${scheme}"); ` +
        'give it the scheme "never" or leave add_prefix_space out.',
    );
  }
  return {replacement: needCharacter(step, 'replacement'), scheme};
}

/** Replaces spaces by another character and, unless `split` is false, splits before each. */
export function metaspace(step: Fields): (part: Part) => Part[] {
  const {replacement, scheme} = readMetaspace(step);
  const replaceSpaces = replaceAll(cutterOf({text: ' '}), replacement);
  const cut = cutterOf({text: replacement});
  const split = needBoolean(step, 'split', true);
  return part => {
    const replaced = replaceSpaces(part);
    const adds = scheme === 'always' || (scheme === 'first' && replaced.first > 0);
    const whole = adds && !replaced.text.startsWith(replacement) ? prepend(replaced, replacement) : replaced;
    if (!split) return [whole];
    return splitStretches(cut(whole.text), 'MergedWithNext').map(({start, end}) =>
      slicePart(whole, start, end),
    );
  };
}
