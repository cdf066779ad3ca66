import {type Cell, type Notebook, textOf} from './notebook.js';

/** How far numbers may differ: engines round sums of floats differently, and charts follow. */
const allowed = {share: 0.05, pixels: 3};

/**
 * Where the outputs of a run differ from those of another: words, numbers by more than 5 % and a unit of their last digit, charts.
 * @returns a sentence for each cell that differs.
 */
export function differences(before: Notebook, after: Notebook): string[] {
  if (before.cells.length !== after.cells.length) return ['The notebooks have other cells.'];
  return before.cells.flatMap((cell, i) => {
    const [left, right] = [shownBy(cell), shownBy(after.cells[i]!)];
    if (left.length !== right.length)
      return [`Cell ${i + 1} has ${right.length} outputs, not ${left.length}.`];
    return left.flatMap((text, j) => {
      const reason = differenceOf(text, right[j]!);
      return reason === undefined ? [] : [`Cell ${i + 1}: ${reason}`];
    });
  });
}

/** What a cell shows: printed texts and charts. Pictures are drawn from the charts, and compared by them. */
function shownBy({outputs = []}: Cell): string[] {
  return outputs.flatMap(({text, data = {}}) => [
    ...(text === undefined ? [] : [textOf(text)]),
    ...Object.entries(data)
      .filter(([type]) => type !== 'image/png')
      .map(([, value]) => textOf(value)),
  ]);
}

const number = /-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?/g;

function differenceOf(before: string, after: string): string | undefined {
  const least = before.startsWith('<svg') ? allowed.pixels : 0;
  // spaces align columns of numbers, so they go with the numbers
  const [left, right] = [before, after].map(text => text.replace(number, '#').replace(/\s+/g, ' '));
  if (left !== right) return `it says ${excerpt(after, before)}, not ${excerpt(before, after)}.`;
  const [was, is] = [before, after].map(text => text.match(number) ?? []);
  const at = was!.findIndex((text, i) => !isNear(text, is![i]!, least));
  return at < 0 ? undefined : `it says ${is![at]!}, not ${was![at]!}.`;
}

function isNear(before: string, after: string, least: number): boolean {
  const [was, is] = [before, after].map(text => Number(text.replaceAll(',', '')));
  return Math.abs(was! - is!) <= Math.max(least, unitOf(before), allowed.share * Math.abs(was!)) * (1 + 1e-9);
}

/** One in the last digit that is shown: 0.01 of 2.25, 1e-4 of 3.2e-3. */
function unitOf(text: string): number {
  const [digits = '', exponent = '0'] = text.split('e');
  return 10 ** (Number(exponent) - (digits.split('.')[1]?.length ?? 0));
}

/** From where a text differs from another. */
function excerpt(text: string, other: string): string {
  let at = 0;
  while (at < text.length && text[at] === other[at]) at++;
  return JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
}
