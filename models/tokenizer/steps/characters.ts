/**
 * Kinds of characters, as Unicode and the library `tokenizers` of Python have them. JavaScript's `\s` takes U+FEFF for a space
 * and U+0085 for none, its `\w` and `\d` are ASCII.
 */
export const spaces = '\\p{White_Space}';
export const wordCharacters = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';
export const punctuation = '\\p{P}!-/:-@\\[-`{-~';

const spacesBefore = new RegExp(`^[${spaces}]+`, 'u');
const space = new RegExp(`[${spaces}]$`, 'u');

/** Code units of white space at the beginning. */
export function leadingSpaces(text: string): number {
  return spacesBefore.exec(text)?.[0].length ?? 0;
}

/** Code units of white space at the end. Every such character is one code unit. */
export function trailingSpaces(text: string, end = text.length): number {
  let at = end;
  while (at > 0 && space.test(text[at - 1]!)) at--;
  return end - at;
}

/** Character by character, as Rust does it: no sigma becomes a final one. */
export function lowerCase(text: string): string {
  const lower = text.toLowerCase();
  return lower.includes('ς') ? Array.from(text, character => character.toLowerCase()).join('') : lower;
}
