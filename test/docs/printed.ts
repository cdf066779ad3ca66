import type {MarkdownExample} from '../../tools/markdown_examples.js';

/** How far a number may be from the one in the page: sizes change a little with how a cache lays its buffers. */
const tolerance = 0.15;

/** A number, the words that a page leaves out, white space; in this order. */
const parts = /(\d+(?:,\d{3})*(?:\.\d+)?)|(\[\.\.\.\])|(\s+)/;

/**
 * Where what an example printed is not what its page says: what stands behind `// prints`, and the `text` block below it, where `[...]`
 * stands for any words and numbers may differ by 15 %.
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

/** The text with any numbers in the places of its own. */
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
