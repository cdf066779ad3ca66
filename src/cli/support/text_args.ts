import {wholeNumber} from './arguments.js';
import {readText} from './read_text.js';

/** Tokens where the user names no number: a minute or so for a model of 135M parameters and two policies. */
export const defaultTokens = 1024;

/** Of commands that go through a text with a cache. */
export const textArgs = {
  text: {
    type: 'string',
    description: 'A text in UTF-8. Default: one that comes along, which the embedded model never saw',
    valueHint: 'FILE',
  },
  tokens: {
    type: 'string',
    description: `The first so many tokens of the text. Default: ${defaultTokens}, or all where there are fewer`,
    valueHint: 'N',
  },
  step: {
    type: 'string',
    description: 'Tokens that come into the cache at a time; the next ones attend to what was compressed',
    default: '64',
    valueHint: 'N',
  },
} as const;

/** What `textArgs` say. */
export interface TextChoice {
  /** The file's bytes; absent: the text that comes along. */
  readonly text?: Uint8Array | undefined;
  readonly textName?: string | undefined;
  /** Absent: `defaultTokens`, or all of a shorter text. */
  readonly tokens?: number | undefined;
  readonly step: number;
}

/** Reads the text that was asked for; `fewest` is the least number of tokens that makes sense. */
export async function readTextChoice(
  args: {readonly text?: string | undefined; readonly tokens?: string | undefined; readonly step: string},
  fewest = 1,
): Promise<TextChoice> {
  const tokens = wholeNumber(args.tokens, 'tokens', fewest);
  const step = wholeNumber(args.step, 'step') ?? 64;
  const text = args.text === undefined ? undefined : await readText(args.text);
  return {text, textName: args.text, tokens, step};
}
