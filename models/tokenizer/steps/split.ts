import type {Stretch} from './part.js';

export const splitBehaviors = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;

/** What becomes of the matches of a pattern that splits a text. */
export type SplitBehavior = (typeof splitBehaviors)[number];

/** The stretches that stay, as the library `tokenizers` of Python makes them. Some may be empty. */
export function splitStretches(stretches: readonly Stretch[], behavior: SplitBehavior): readonly Stretch[] {
  switch (behavior) {
    case 'Isolated':
      return stretches;
    case 'Removed':
      return stretches.filter(({matched}) => !matched);
    case 'Contiguous':
      return joined(stretches, (matched, before) => matched === before);
    case 'MergedWithPrevious':
      return joined(stretches, (matched, before) => matched && !before);
    case 'MergedWithNext':
      return joined([...stretches].reverse(), (matched, before) => matched && !before).reverse();
  }
}

/** Joins stretches to the one before them if `joins` says so. The one before the first counts as not matched. */
function joined(
  stretches: readonly Stretch[],
  joins: (matched: boolean, before: boolean) => boolean,
): Stretch[] {
  const out: Stretch[] = [];
  let before = false;
  for (const stretch of stretches) {
    const last = out.at(-1);
    if (last !== undefined && joins(stretch.matched, before)) {
      out[out.length - 1] = {
        start: Math.min(last.start, stretch.start),
        end: Math.max(last.end, stretch.end),
        matched: last.matched,
      };
    } else out.push(stretch);
    before = stretch.matched;
  }
  return out;
}
