import {embeddedText} from '../../../models/embedded_model.js';
import {text, wholeNumber, withDefault} from './arguments.js';
import {readText} from './files.js';

/** The text that a command measures on. */
export const textArg = text(
  'Measure on this text, a file in UTF-8. Default: a text that comes with eigenkv, on which the embedded model was not trained',
  'FILE',
);

/** For commands that run a text through a cache. The default takes a minute or so for a model of 135M parameters and two plans. */
export const textArgs = (fewest = 1) => ({
  text: textArg,
  tokens: withDefault(wholeNumber('At most this many tokens of the text, its first ones', fewest), '1024'),
  chunk: withDefault(
    wholeNumber('Tokens per forward pass; the next ones attend to what was compressed'),
    '64',
  ),
});

/** A text and what reports call it. */
export interface NamedText {
  readonly name: string;
  readonly content: string;
}

/** @throws what `readText` throws. */
export async function readNamedText(path: string | undefined): Promise<NamedText> {
  return path === undefined
    ? {name: 'held-out text', content: await embeddedText('heldOut')}
    : {name: path, content: await readText(path)};
}
