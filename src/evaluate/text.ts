import type {Tokenizer} from '../../models/tokenizer/index.js';
import {FormatError, InvalidArgumentError} from '../../base/errors.js';
import {unshared} from '../../base/shared_memory.js';

/**
 * The ids of a text to measure: special tokens written out in it are read as any other text.
 *
 * @param text or its bytes in UTF-8.
 * @param name what messages call it.
 * @throws FormatError where the bytes are not UTF-8, InvalidArgumentError where there is no text.
 */
export function textIds(tokenizer: Tokenizer, text: string | Uint8Array, name = 'The text'): number[] {
  const decoded = typeof text === 'string' ? text : decodeUtf8(text, name);
  if (decoded.trim() === '') throw new InvalidArgumentError(`${name} is empty; give some text to measure.`);
  return tokenizer.encode(decoded, {parseSpecial: false});
}

function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(unshared(bytes));
  } catch (error) {
    throw new FormatError(`${name} is not UTF-8; convert it, or give another file.`, {cause: error});
  }
}
