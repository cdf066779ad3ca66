import {FormatError, ModelError} from '../../../base/errors.js';
import {utf8, utf8Text} from './bytes.js';
import {type Fields, needString} from './fields.js';
import type {Step} from './part.js';

/** Code units that a character may become; the longest of Unicode's own have 18. */
const maxPrecompiledGrowth = 64;

/**
 * A normalizer that SentencePiece compiled (Kudo and Richardson 2018, arXiv 1808.06226): a double-array trie (Aoe 1989) of UTF-8 texts, and what
 * becomes of each. As the library `tokenizers` applies it: to a grapheme of less than 6 bytes as a whole where the trie knows its beginning, else
 * to each of its characters.
 */
export function precompiledNormalizer(step: Fields): Step {
  const charsmap = readCharsmap(needString(step, 'precompiled_charsmap'));
  if (charsmap === undefined) return part => part;
  const {find} = charsmap;
  const segmenter = new Intl.Segmenter('und', {granularity: 'grapheme'});
  const ofText = (text: string): string => {
    const out: string[] = [];
    for (const {segment} of segmenter.segment(text)) {
      const bytes = utf8.encode(segment);
      const whole = bytes.length < 6 ? find(bytes) : undefined;
      if (whole !== undefined) out.push(whole);
      else for (const character of segment) out.push(find(utf8.encode(character)) ?? character);
    }
    return out.join('');
  };
  // what is removed in front leaves its place to what follows
  return ({text, first}) => {
    const changed = ofText(text);
    return {text: changed, first: first === 0 ? 0 : Math.max(1, ofText(text.slice(0, first)).length)};
  };
}

interface Charsmap {
  /** What the shortest beginning that the trie knows becomes. */
  find(bytes: Uint8Array): string | undefined;
  readonly longest: number;
}

/** Undefined for an empty one. */
function readCharsmap(base64: string): Charsmap | undefined {
  const bytes = bytesOf(base64);
  if (bytes.length === 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? NaN : view.getUint32(0, true);
  if (!(trieBytes % 4 === 0 && trieBytes + 4 <= bytes.length)) {
    throw new FormatError('The tokenizer has a precompiled_charsmap whose trie is cut off.');
  }
  const units = Uint32Array.from({length: trieBytes / 4}, (_, i) => view.getUint32(4 + 4 * i, true));
  const texts = bytes.subarray(4 + trieBytes);
  return {find: key => search(units, texts, key), longest: longestText(texts)};
}

function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  } catch (error) {
    throw new FormatError('The tokenizer has a precompiled_charsmap that is not base64.', {cause: error});
  }
}

/** The units are those of Darts (darts-clone): a label, whether a value follows, the offset to the children. */
function search(units: Uint32Array, texts: Uint8Array, key: Uint8Array): string | undefined {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let node = offset(units[0] ?? 0);
  for (const byte of key) {
    if (byte === 0) return undefined;
    node ^= byte;
    const unit = units[node];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    node ^= offset(unit);
    if (((unit >>> 8) & 1) === 1) return textAt(texts, (units[node] ?? 0) & 0x7fffffff);
  }
  return undefined;
}

/** Texts end with a zero byte. */
function textAt(texts: Uint8Array, start: number): string {
  const end = texts.indexOf(0, start);
  return utf8Text.decode(texts.subarray(start, end < 0 ? texts.length : end));
}

function longestText(texts: Uint8Array): number {
  return utf8Text
    .decode(texts)
    .split('\0')
    .reduce((longest, text) => Math.max(longest, text.length), 0);
}

/** How many times as long a text may become. */
export function precompiledGrowth(step: Fields): number {
  const longest = Math.max(1, readCharsmap(needString(step, 'precompiled_charsmap'))?.longest ?? 1);
  if (longest <= maxPrecompiledGrowth) return longest;
  throw new ModelError(
    `The tokenizer has a precompiled_charsmap that makes ${longest} characters of one (at most ${maxPrecompiledGrowth} are allowed); ` +
      'use another conversion of the model.',
  );
}
