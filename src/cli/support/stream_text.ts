import {print} from './print.js';

/** Prints texts behind a prompt as they come, where `shows`, and ends the line; gives all of them, without the prompt. */
export async function streamText(
  pieces: AsyncIterable<string>,
  {prompt, shows}: {readonly prompt: string; readonly shows: boolean},
): Promise<string> {
  let text = '';
  if (shows) process.stdout.write(prompt);
  try {
    for await (const piece of pieces) {
      text += piece;
      if (shows) process.stdout.write(piece);
    }
  } finally {
    if (shows && prompt + text !== '') print('');
  }
  return text;
}
