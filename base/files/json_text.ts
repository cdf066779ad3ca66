import {FormatError} from '../errors.js';
import {foreignContent} from './foreign_content.js';

/** Deeper than any file of a model nests (tokenizer.json: 8), and far from what recursion over it could not take. */
const maxDepth = 64;

/** The most memory of a parsed text, in bytes: a constant plus a multiple of its length. */
const freeBytes = 16 * 2 ** 20;
const bytesPerCharacter = 8;

/** What V8 takes for an array or object, and for each of its entries. Strings come to about their length and this again. */
const containerBytes = 48;
const entryBytes = 24;

/**
 * `JSON.parse` for untrusted texts: one pass over the text checks, before anything is made of it, that it does not nest
 * deeper than 64 and would not take more than 16 MiB and eight times its length of memory (`[[],[],[],...` takes 13 times).
 *
 * @param given the text, or the bytes of a file in UTF-8, with or without a mark at its start.
 * @param name what messages call the text.
 * @throws FormatError if it is not JSON, or beyond these limits. The message says what the file is instead, if that is recognised.
 */
export function parseJsonText(given: string | Uint8Array, name: string): unknown {
  const text = typeof given === 'string' ? given : textOfBytes(given, name);
  checkNesting(text, name);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${name} is not JSON; download or copy it again.`, {cause: error});
  }
}

/**
 * The text in a file's bytes, without a mark at its start.
 * @throws FormatError if it is not UTF-8, or is known to be something else.
 */
export function textOfBytes(bytes: Uint8Array, name: string): string {
  const foreign = foreignContent(bytes);
  if (foreign !== undefined) throw new FormatError(`${name} ${foreign}.`);
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(bytes);
  } catch (error) {
    throw new FormatError(
      `${name} is no text in UTF-8: it is compressed, damaged or another file. Get it again.`,
      {
        cause: error,
      },
    );
  }
}

function checkNesting(text: string, name: string): void {
  let depth = 0;
  let bytes = 0;
  const limit = freeBytes + bytesPerCharacter * text.length;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = endOfString(text, i);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth++;
        bytes += containerBytes;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
      case 0x3a: // :
        bytes += entryBytes;
        break;
    }
    if (depth > maxDepth) throw new FormatError(`${name} nests values deeper than ${maxDepth}.`);
    if (bytes > limit) {
      throw new FormatError(
        `${name} would take more than ${limit} bytes, eight times its length and 16 MiB: it is made of brackets and commas.`,
      );
    }
  }
}

/** The index of the quote that ends the string which begins at `start`, or of the text's end. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

/** Whether an odd number of backslashes precedes. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === 0x5c) first--;
  return (at - first) % 2 === 1;
}
