import type {Figure} from '../../bench/support/history.js';
import {fixed, percent} from '../../base/units.js';
import {type Cells, pivot} from './cells.js';

/** Equal for figures that measure the same again. */
export const taskCase = ({tokens, seed, task, plan}: Figure): string => [tokens, seed, task, plan].join('|');

/** Answers to the questions of several figures together. */
interface Pooled extends Figure {
  readonly label: string;
  readonly questions: number;
  /** Shares of the questions. */
  readonly found: number;
  readonly chosen: number;
  /** Mean over the figures. */
  readonly ratioToFloat32: number;
}

/** What a plan is called whatever the length of the context: a keeper with its share of the tokens, or a codec as on the command line. */
export function labelOf({keeper, share, plan}: Figure): string {
  return share === '1'
    ? `\`${plan!}\``
    : `\`${String(keeper).replace(', sums', ':normalize=false')}\`, ${share!} of the tokens`;
}

/** Pools figures, each with the weight of its questions. */
export function pooled(figures: readonly Figure[]): Pooled {
  const sum = (of: (figure: Figure) => number) => figures.reduce((total, figure) => total + of(figure), 0);
  const questions = sum(figure => Number(figure['questions']));
  const share = (key: string) => sum(figure => Number(figure[key]) * Number(figure['questions'])) / questions;
  return {
    label: labelOf(figures[0]!),
    questions,
    ...{found: share('found'), chosen: share('chosen'), ratioToFloat32: share('ratioToFloat32')},
  };
}

/** Returns lists of equal keys, in the order of the first of each. */
export function grouped<T>(
  list: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of list) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** A row for each plan, a column for each value of `across`: answers found, and in brackets those chosen from candidates. */
export function taskCells(figures: readonly Figure[], across: (figure: Figure) => string): Cells {
  const rows = [...grouped(figures, figure => `${labelOf(figure)}|${across(figure)}`).values()].map(
    (group): Figure => ({...pooled(group), column: across(group[0]!)}),
  );
  const ratios = grouped(figures, labelOf);
  return pivot(rows, {
    rows: [
      ['plan', ({label}) => String(label)],
      ['of float32 bytes', ({label}) => fixed(pooled(ratios.get(String(label)) ?? []).ratioToFloat32, 3)],
    ],
    across: ({column}) => String(column),
    cell: ({found, chosen}) => `${percent(Number(found), 0)} (${percent(Number(chosen), 0)})`,
  });
}

/** The figures of plans that were measured at each length at which the full cache was: sums of others would be of other questions. */
export function atCommonLengths(figures: readonly Figure[]): Figure[] {
  const lengths = new Set(figures.filter(({keeper}) => keeper === 'full').map(({tokens}) => tokens));
  const complete = [...grouped(figures, labelOf).values()].filter(
    group => new Set(group.map(({tokens}) => tokens)).size === lengths.size,
  );
  return complete.flat();
}
