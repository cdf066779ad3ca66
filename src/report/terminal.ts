import {stripVTControlCharacters} from 'node:util';
import stringWidth from 'string-width';

/** Where the width of what reads the output is not known, as in a pipe. */
const unknownWidth = 100;

/** Terminals that do not say how wide they are. */
const usualWidth = 80;

/** Columns of characters that a line on stdout may have: the terminal's, those that COLUMNS names, or 100. */
export function outputWidth(): number {
  const {isTTY, columns} = process.stdout;
  if (isTTY) return columns > 0 ? columns : usualWidth;
  const named = Number(process.env['COLUMNS']);
  return Number.isSafeInteger(named) && named > 0 ? named : unknownWidth;
}

/**
 * Whether stdout takes styles: on a terminal, unless NO_COLOR is set (no-color.org); elsewhere where FORCE_COLOR asks for them.
 * The only style is bold: every colour is unreadable on somebody's background.
 */
function hasStyles(): boolean {
  const {NO_COLOR: no, FORCE_COLOR: force, TERM: terminal} = process.env;
  if (no !== undefined && no !== '') return false;
  if (force !== undefined) return force !== '0' && force !== 'false';
  return process.stdout.isTTY && terminal !== 'dumb';
}

/** A head, where stdout takes styles. */
export function bold(text: string): string {
  return hasStyles() && text !== '' ? `\u001b[1m${text}\u001b[22m` : text;
}

/** Columns that a text takes on a terminal: two for a Chinese character, none for a combining accent. */
export const textWidth = (text: string): number => stringWidth(text);

/** The text filled up with spaces to a width. */
export function padded(text: string, width: number, align: 'left' | 'right'): string {
  const spaces = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'left' ? text + spaces : spaces + text;
}

/** One line without control characters: names from files may hold any. */
export function singleLine(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ');
}
