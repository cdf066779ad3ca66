import type {MarkdownExample} from '../../tools/markdown_examples.js';

/** Largest relative difference between a printed number and that of the page: sizes depend a little on how a cache allocates buffers. */
const tolerance = 0.15;

/** In this order: a number, words that a page leaves out, white space. */
const parts = /(\d+(?:,\d{3})*(?:\.\d+)?)|(\[\.\.\.\])|(\s+)/;

/**
 * How the output of an example differs from its page: from the comments `// prints ...`, and from the `text` block below the code. In that block
 * `[...]` matches any words, and numbers may differ by 15 %. Undefined if there is no difference.
 */
export function differenceOfPrint(
  {code, printed: shown}: Pick<MarkdownExample, 'code' | 'printed'>,
  printed: string,
): string | undefined {
  for (const [, expected] of code.matchAll(/; \/\/ prints (.+)$/gm))
    if (!printed.includes(expected!)) return `printed no "${expected!}", but "${printed}"`;
  if (shown === undefined) return undefined;
  const found = patternOf(shown.trim()).exec(printed.trim());
  if (found === null) return `printed "${printed}", and not "${shown}"`;
  const expected = shown
    .trim()
    .split(parts)
    .filter((_, i) => i % 4 === 1)
    .filter(Boolean); // the numbers
  const wrong = expected.findIndex((text, i) => !isNear(numberOf(text), numberOf(found[i + 1]!)));
  return wrong < 0 ? undefined : `printed ${found[wrong + 1]!} where the page says ${expected[wrong]!}`;
}

/** A pattern of the text in which each number matches any number. */
function patternOf(text: string): RegExp {
  const source = text.split(parts).map((piece: string | undefined, i) => {
    if (piece === undefined) return '';
    return [escaped(piece), '(\\d[\\d,]*(?:\\.\\d+)?)', '[^]*', '\\s+'][i % 4]!;
  });
  return new RegExp(`^${source.join('')}$`);
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const numberOf = (text: string) => Number(text.replaceAll(',', ''));
const isNear = (expected: number, actual: number) => Math.abs(actual - expected) <= tolerance * expected;
