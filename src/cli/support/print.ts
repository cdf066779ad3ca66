import {outputWidth, singleLine} from '../../report/terminal.js';
import {wrappedText} from '../../report/wrap.js';

/** Results go to stdout, everything else to stderr. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What is said beside the results, on stderr: between its words where that is a terminal, as one line elsewhere. */
export function printNote(text: string): void {
  const {isTTY, columns} = process.stderr;
  process.stderr.write(`${isTTY && columns > 0 ? wrappedText(text, columns) : singleLine(text)}\n`);
}

/** Sentences, broken where the output ends. */
export function printProse(text: string): void {
  print(wrappedText(text, outputWidth()));
}

/** Which files were written, below a table; each on one line, however long, for paths are copied. */
export function printWritten(files: readonly string[]): void {
  if (files.length > 0) print(['', ...files.map(file => `Wrote ${file}`)].join('\n'));
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}
