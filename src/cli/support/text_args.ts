import {embeddedText} from '../../../models/embedded_model.js';
import {text, wholeNumber, withDefault} from './arguments.js';
import {readText} from './files.js';

/** The option for the text that a command measures on. */
export const textArg = text(
  'Measure on this text, a file in UTF-8. Default: a text that comes with eigenkv, on which the embedded model was not trained',
  'FILE',
);

/** Options of commands that run a model over a text. The defaults take about a minute for a model of 135M parameters and two plans. */
export const textArgs = (fewest = 1) => ({
  text: textArg,
  tokens: withDefault(wholeNumber('Use only this many tokens at the start of the text', fewest), '1024'),
  chunk: withDefault(wholeNumber('Tokens per forward pass; they are compressed after it'), '64'),
});

/** A text and its name in reports. */
export interface NamedText {
  readonly name: string;
  readonly content: string;
}

/**
 * Reads the text of the option, or the default one.
 * @throws what `readText` throws.
 */
export async function readNamedText(path: string | undefined): Promise<NamedText> {
  return path === undefined
    ? {name: 'held-out text', content: await embeddedText('heldOut')}
    : {name: path, content: await readText(path)};
}
