import {outputWidth} from './terminal.js';
import {wrappedText} from './wrap.js';

/** Results go to stdout, everything else to stderr. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Sentences, broken where the output ends. */
export function printProse(text: string): void {
  print(wrappedText(text, outputWidth()));
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}
