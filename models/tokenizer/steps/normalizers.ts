import {bertNormalizer} from './bert_normalizer.js';
import {byteCharacters} from './bytes.js';
import {leadingSpaces, lowerCase, trailingSpaces} from './characters.js';
import {type Fields, needBoolean, needString} from './fields.js';
import {type Part, type Step, eachCharacter, prepend, removeAll, replaceAll, slicePart} from './part.js';
import {cutterOf, readPattern} from './patterns.js';
import {precompiledNormalizer} from './precompiled.js';
import {type Makers, listOf, makeStep} from './make_step.js';

const normalizers: Makers<Step> = {
  BertNormalizer: bertNormalizer,
  ByteLevel: () => eachCharacter(byteCharacters),
  Lowercase: () => eachCharacter(lowerCase),
  NFC: () => eachCharacter(text => text.normalize('NFC')),
  NFD: () => eachCharacter(text => text.normalize('NFD')),
  NFKC: () => eachCharacter(text => text.normalize('NFKC')),
  NFKD: () => eachCharacter(text => text.normalize('NFKD')),
  Nmt: nmtNormalizer,
  Precompiled: precompiledNormalizer,
  Prepend(step) {
    const content = needString(step, 'prepend');
    return part => (part.text === '' ? part : prepend(part, content));
  },
  Replace: step => replaceAll(cutterOf(readPattern(step['pattern'])), needString(step, 'content')),
  Sequence(step) {
    const steps = listOf(step, 'normalizers').map(readNormalizer);
    return part => steps.reduce((before, one) => one(before), part);
  },
  Strip: stripNormalizer,
  StripAccents: () => removeAll(/\p{M}/gu),
};

/** @throws FormatError if a step lacks what it needs, ModelError if it is not known. */
export function readNormalizer(step: unknown): Step {
  if (step === null) return part => part;
  return makeStep(step, 'normalizer', normalizers);
}

function stripNormalizer(step: Fields): Step {
  const left = needBoolean(step, 'strip_left');
  const right = needBoolean(step, 'strip_right');
  return (part: Part) => {
    const start = left ? leadingSpaces(part.text) : 0;
    const end = part.text.length - (right ? trailingSpaces(part.text) : 0);
    return slicePart(part, Math.min(start, end), end);
  };
}

/** Control characters that SentencePiece's rules `nmt` remove, as ranges of code points. */
const removedByNmt = [
  [0x1, 0x8],
  [0xb, 0xb],
  [0xe, 0x1f],
  [0x7f, 0x7f],
  [0x8f, 0x8f],
  [0x9f, 0x9f],
] as const;

function nmtNormalizer(): Step {
  const ranges = removedByNmt.map(([from, to]) => `\\u{${from.toString(16)}}-\\u{${to.toString(16)}}`);
  const remove = removeAll(new RegExp(`[${ranges.join('')}]`, 'gu'));
  const blank = eachCharacter(text =>
    text.replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu, ' '),
  );
  return part => blank(remove(part));
}
