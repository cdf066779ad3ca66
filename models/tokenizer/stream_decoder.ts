import {byteToken} from './steps/decoders.js';
import type {Tokenizer} from './tokenizer.js';

/** Turns tokens into text while they are generated. */
export interface StreamDecoder {
  /** The text that became certain with this token; empty while a character is incomplete. */
  push(id: number): string;
  /** The rest at the end: U+FFFD if the last character was not completed. */
  flush(): string;
}

/** Tokens decoded again with each new one, at most; enough to see how a token joins the one before it. */
const maxWindow = 16;

/**
 * A decoder whose pieces, joined, are `tokenizer.decode` of all tokens: a space that belongs between two words is
 * kept, and a character whose bytes are spread over tokens comes whole. A row of tokens `<0x..>` comes when it has ended: all
 * of it is text, or none.
 */
export function streamDecoder(tokenizer: Tokenizer, options: {skipSpecial?: boolean} = {}): StreamDecoder {
  /** The last tokens; `given` characters of their text were returned. */
  let window: number[] = [];
  let given = 0;
  let inRow = false;
  /** Whether a row of byte tokens is not known to have ended: special tokens that are left out do not end it. */
  const rowGoesOn = (id: number): boolean => {
    const token = tokenizer.token(id);
    const isByte = byteToken.test(token);
    if (!isByte && !inRow) return false;
    const alone = tokenizer.decode([id], options);
    inRow = isByte ? inRow || alone !== token : alone === '';
    return inRow;
  };
  return {
    push(id) {
      if (tokenizer.isSilent?.(id, options) === true) return ''; // in the window many would hide the text before them
      window.push(id);
      if (rowGoesOn(id)) return '';
      const text = tokenizer.decode(window, options);
      // bytes that may still become a character decode to one U+FFFD at the end
      const certain = text.endsWith('\ufffd') ? text.length - 1 : text.length;
      const piece = text.slice(given, certain);
      given = Math.max(given, certain);
      if (window.length > maxWindow && certain === text.length) {
        window = window.slice(-maxWindow / 2);
        given = tokenizer.decode(window, options).length;
      }
      return piece;
    },
    flush() {
      const piece = tokenizer.decode(window, options).slice(given);
      window = [];
      given = 0;
      inRow = false;
      return piece;
    },
  };
}
