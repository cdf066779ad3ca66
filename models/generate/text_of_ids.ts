import {type Tokenizer, streamDecoder} from '../tokenizer/index.js';
import {stopFilter} from './stop_strings.js';

/** Tokens at a prompt's end that the decoder sees: how the first generated token is joined depends on them. */
const joiningTokens = 8;

/**
 * The text of ids while they come: pieces that are certain, never half a character, never a part of a stop string. It ends the ids at a stop
 * string.
 *
 * @param prompt the ids before them.
 */
export async function* textOfIds(
  ids: AsyncIterable<number>,
  tokenizer: Tokenizer,
  prompt: readonly number[],
  stop: readonly string[],
): AsyncGenerator<string, void, undefined> {
  const decoder = decoderAfter(tokenizer, prompt);
  const filter = stopFilter(stop);
  for await (const id of ids) {
    const text = filter.push(decoder.push(id));
    if (text !== '') yield text;
    if (filter.stopped) return;
  }
  const rest = filter.push(decoder.flush()) + filter.flush();
  if (rest !== '') yield rest;
}

/** A decoder of what follows a prompt. */
export function decoderAfter(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  options: {skipSpecial?: boolean} = {},
): ReturnType<typeof streamDecoder> {
  const decoder = streamDecoder(tokenizer, options);
  for (const id of prompt.slice(-joiningTokens)) decoder.push(id);
  return decoder;
}
