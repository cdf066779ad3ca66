import {outputWidth, singleLine} from '../../report/terminal.js';
import {wrappedText} from '../../report/wrap.js';

/** Prints results to stdout. Everything else goes to stderr. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints messages to stderr: wrapped between words on a terminal, as one line elsewhere. */
export function printNote(text: string): void {
  const {isTTY, columns} = process.stderr;
  process.stderr.write(`${isTTY && columns > 0 ? wrappedText(text, columns) : singleLine(text)}\n`);
}

/** Prints sentences to stdout, wrapped to its width. */
export function printProse(text: string): void {
  print(wrappedText(text, outputWidth()));
}

/** Prints the paths of written files, one per line, however long, because paths are copied. */
export function printWritten(files: readonly string[]): void {
  if (files.length > 0) print(['', ...files.map(file => `Wrote ${file}`)].join('\n'));
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}
