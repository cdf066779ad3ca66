import {readFile} from 'node:fs/promises';
import {markdownExamples} from '../markdown_examples.js';

/** The code of the first example of a page that holds a word. */
export async function guideOf(page: string, word: string): Promise<string> {
  const markdown = await readFile(new URL(`../../${page}`, import.meta.url), 'utf8');
  const example = markdownExamples(markdown).find(({code}) => code.includes(word));
  if (example === undefined) throw new Error(`${page} has no example with "${word}".`);
  return example.code;
}

/**
 * Checks what the drop-in guide prints: the cached tokens are the uncached ones, and the quantized cache is smaller.
 * @returns the two sizes, in words.
 */
export function checkOutput(output: string): string {
  if (!output.includes('the same tokens: true')) throw new Error(`The tokens differ:\n${output}`);
  const sizes = /(\d+) bytes instead of (\d+)/.exec(output);
  if (sizes === null || !(Number(sizes[1]) < 0.7 * Number(sizes[2]))) {
    throw new Error(`The quantized cache is not smaller:\n${output}`);
  }
  return `the same tokens, ${sizes[0]}`;
}
