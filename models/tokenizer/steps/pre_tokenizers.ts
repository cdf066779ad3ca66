import {byteCharacters} from './bytes.js';
import {punctuation, spaces, wordCharacters} from './characters.js';
import {type Fields, needBoolean, needCharacter, needInteger, needWord} from './fields.js';
import {metaspace} from './metaspace.js';
import {type Cut, type Part, eachCharacter, prepend, slicePart} from './part.js';
import {cutterOf, cutterOfRegExp, readPattern} from './patterns.js';
import {type Makers, listOf, makeStep} from './make_step.js';
import {type SplitBehavior, splitBehaviors, splitStretches} from './split.js';

/** Takes a part apart, before the model looks its parts up. */
export type PreTokenizer = (part: Part) => Part[];

/** GPT-2's pattern (Radford et al. 2019, encoder.py). */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const cutAt = (characters: string): Cut => cutterOfRegExp(new RegExp(`[${characters}]`, 'gu'));
const cutAtSpaces = cutAt(spaces);
const cutAtPunctuation = cutAt(punctuation);

const preTokenizers: Makers<PreTokenizer> = {
  BertPreTokenizer: () => inTurn([splitAt(cutAtSpaces, 'Removed'), splitAt(cutAtPunctuation, 'Isolated')]),
  ByteLevel: byteLevel,
  CharDelimiterSplit: delimiterSplit,
  Digits: step =>
    splitAt(cutAt('\\p{N}'), needBoolean(step, 'individual_digits') ? 'Isolated' : 'Contiguous'),
  FixedLength: step => fixedLength(needInteger(step, 'length', 1, 2 ** 31)),
  Metaspace: metaspace,
  Punctuation: step => splitAt(cutAtPunctuation, needWord(step, 'behavior', splitBehaviors, 'Isolated')),
  Sequence: step => inTurn(listOf(step, 'pretokenizers').map(readPreTokenizer)),
  Split(step) {
    const cut = cutterOf(readPattern(step['pattern']));
    const behavior = needWord(step, 'behavior', splitBehaviors);
    return splitAt(needBoolean(step, 'invert') ? inverted(cut) : cut, behavior);
  },
  Whitespace: () =>
    splitAt(
      inverted(cutterOfRegExp(new RegExp(`[${wordCharacters}]+|[^${wordCharacters}${spaces}]+`, 'gu'))),
      'Removed',
    ),
  WhitespaceSplit: () => splitAt(cutAtSpaces, 'Removed'),
};

/** @throws FormatError if a step lacks what it needs, ModelError if it is not known. */
export function readPreTokenizer(step: unknown): PreTokenizer {
  if (step === null) return part => [part];
  return makeStep(step, 'pre-tokenizer', preTokenizers);
}

function inTurn(steps: readonly PreTokenizer[]): PreTokenizer {
  return part => steps.reduce<Part[]>((parts, step) => parts.flatMap(step), [part]);
}

function splitAt(cut: Cut, behavior: SplitBehavior): PreTokenizer {
  return part =>
    splitStretches(cut(part.text), behavior)
      .filter(({start, end}) => start < end)
      .map(({start, end}) => slicePart(part, start, end));
}

function inverted(cut: Cut): Cut {
  return text => cut(text).map(({start, end, matched}) => ({start, end, matched: !matched}));
}

function byteLevel(step: Fields): PreTokenizer {
  const addSpace = needBoolean(step, 'add_prefix_space');
  const split = needBoolean(step, 'use_regex', true)
    ? splitAt(cutterOf({source: gpt2Pattern}), 'Isolated')
    : (part: Part) => [part];
  const toBytes = eachCharacter(byteCharacters);
  return part => split(addSpace && !part.text.startsWith(' ') ? prepend(part, ' ') : part).map(toBytes);
}

function delimiterSplit(step: Fields): PreTokenizer {
  return splitAt(cutterOf({text: needCharacter(step, 'delimiter')}), 'Removed');
}

function fixedLength(length: number): PreTokenizer {
  return part => {
    const parts: Part[] = [];
    let start = 0;
    let end = 0;
    let count = 0;
    for (const character of part.text) {
      end += character.length;
      if (++count % length !== 0) continue;
      parts.push(slicePart(part, start, end));
      start = end;
    }
    if (start < end) parts.push(slicePart(part, start, end));
    return parts;
  };
}
