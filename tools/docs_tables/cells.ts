import type {Figure} from '../../bench/support/history.js';

/** A column of a table: its heading, and what a figure shows in it. */
export type Column = readonly [heading: string, cell: (figure: Figure) => string];

/** The first row is the heading. */
export type Cells = readonly (readonly string[])[];

/** A number of a figure, as `format` writes it; a dash if it was not measured. */
export const number =
  (key: string, format: (value: number) => string) =>
  (figure: Figure): string => {
    const value = figure[key];
    return typeof value === 'number' ? format(value) : '-';
  };

export const text =
  (key: string) =>
  (figure: Figure): string =>
    String(figure[key] ?? '-');

/** A row for each figure. */
export function list(figures: readonly Figure[], columns: readonly Column[]): Cells {
  return [
    columns.map(([heading]) => heading),
    ...figures.map(figure => columns.map(([, cell]) => cell(figure))),
  ];
}

export interface Pivot {
  /** Figures with equal texts here share a row. */
  readonly rows: readonly Column[];
  /** Figures with equal texts here share a column, whose heading it is. */
  readonly across: (figure: Figure) => string;
  readonly cell: (figure: Figure) => string;
  /** Columns on the right: each shows the row's first value that is not a dash. A column without any value is left out. */
  readonly more?: readonly Column[];
}

/** A row for each distinct label and a column for each distinct value of `across`, both in the order of the figures. */
export function pivot(figures: readonly Figure[], {rows, across, cell, more = []}: Pivot): Cells {
  const headings = [...new Set(figures.map(across))];
  const labelsOf = (figure: Figure) => rows.map(([, label]) => label(figure));
  const groups = new Map<string, Figure[]>();
  for (const figure of figures) {
    const key = labelsOf(figure).join('\n');
    groups.set(key, [...(groups.get(key) ?? []), figure]);
  }
  const shown = more.filter(([, show]) => figures.some(figure => show(figure) !== '-'));
  return [
    [...rows.map(([heading]) => heading), ...headings, ...shown.map(([heading]) => heading)],
    ...[...groups.values()].map(group => [
      ...labelsOf(group[0]!),
      ...headings.map(heading => {
        const figure = group.find(candidate => across(candidate) === heading);
        return figure === undefined ? '-' : cell(figure);
      }),
      ...shown.map(([, show]) => group.map(show).find(value => value !== '-') ?? '-'),
    ]),
  ];
}

/** GitHub's table syntax. */
export function markdownTable([heading = [], ...rows]: Cells): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heading), `|${heading.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
