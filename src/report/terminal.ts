import {stripVTControlCharacters} from 'node:util';
import stringWidth from 'string-width';

/** Width if stdout is not a terminal, such as a pipe. */
const unknownWidth = 100;

/** Width of terminals that do not report theirs. */
const usualWidth = 80;

/** Returns the width of a line on stdout in characters: the terminal's, the value of COLUMNS, or 100. */
export function outputWidth(): number {
  const {isTTY, columns} = process.stdout;
  if (isTTY) return columns > 0 ? columns : usualWidth;
  const named = Number(process.env['COLUMNS']);
  return Number.isSafeInteger(named) && named > 0 ? named : unknownWidth;
}

/**
 * Whether output to stdout has styles: on a terminal, unless NO_COLOR is set (no-color.org); elsewhere only if FORCE_COLOR is set. The only
 * style is bold, because every colour is unreadable on some background.
 */
function hasStyles(): boolean {
  const {NO_COLOR: no, FORCE_COLOR: force, TERM: terminal} = process.env;
  if (no !== undefined && no !== '') return false;
  if (force !== undefined) return force !== '0' && force !== 'false';
  return process.stdout.isTTY && terminal !== 'dumb';
}

/** Returns the text in bold, if stdout has styles. */
export function bold(text: string): string {
  return hasStyles() && text !== '' ? `\u001b[1m${text}\u001b[22m` : text;
}

/** Returns the width of a text on a terminal: a Chinese character has two columns, a combining accent none. */
export const textWidth = (text: string): number => stringWidth(text);

/** Returns the text padded with spaces to a width. */
export function padded(text: string, width: number, align: 'left' | 'right'): string {
  const spaces = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'left' ? text + spaces : spaces + text;
}

/** Returns the text as one line without control characters, which names in files may contain. */
export function singleLine(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ');
}

/** Returns the text of a model without what would steer the terminal; unchanged if stdout is none. */
export function printable(text: string): string {
  return process.stdout.isTTY ? text.replace(/(?![\n\t])\p{Cc}/gu, '') : text;
}
