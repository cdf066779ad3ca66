import {type Figure, type Run, runsOf} from '../../bench/support/history.js';
import {markdownTable} from './cells.js';
import type {Table} from './table.js';
import {tables} from './tables.js';

const marked = /<!-- table (?<name>\w+) -->\n[^]*?<!-- end of table -->/g;

/**
 * A page with the tables of the newest runs between its markers.
 * @throws Error if a marker names no table, no run was recorded for it, or nothing of the runs is shown.
 */
export async function withTables(page: string): Promise<string> {
  const names = [...new Set([...page.matchAll(marked)].map(({groups}) => groups!['name']!))];
  const written = new Map<string, string>();
  for (const name of names) written.set(name, await tableOf(name));
  return page.replaceAll(
    marked,
    (_, name: string) => `<!-- table ${name} -->\n${written.get(name)!}\n<!-- end of table -->`,
  );
}

/** The runs that a table shows the newest of, the oldest first. */
export async function runsOfTable({what, subject}: Pick<Table, 'what' | 'subject'>): Promise<Run[]> {
  return (await runsOf(what)).filter(run => run.subject.startsWith(subject));
}

/** The figures of all runs; of those with the same case the newest, in the order of the oldest. */
export function newestFigures(runs: readonly Run[], caseOf: (figure: Figure) => string): Figure[] {
  return [
    ...new Map(
      runs.flatMap(({figures}) => figures.map(figure => [caseOf(figure), figure] as const)),
    ).values(),
  ];
}

async function tableOf(name: string): Promise<string> {
  const table = tables[name];
  if (table === undefined)
    throw new Error(`No table ${name}: expected one of ${Object.keys(tables).join(', ')}.`);
  const runs = await runsOfTable(table);
  const run = runs.at(-1);
  if (run === undefined) throw new Error(`No run of ${table.what} for "${table.subject}" in bench/history.`);
  const {date, machine, node, subject} = run;
  const figures = table.case === undefined ? run.figures : newestFigures(runs, table.case);
  const shown = runs.filter(of => of.figures.some(figure => figures.includes(figure))).map(of => of.commit);
  const commits = [...new Set(shown)];
  const from = `commit${commits.length > 1 ? 's' : ''} ${commits.join(', ')}`;
  const cells = table.cells(figures);
  if (cells.length < 2) throw new Error(`Table ${name} has no rows: it shows none of the newest figures.`);
  return `${markdownTable(cells)}\n\n${subject}. ${date}, ${from}; ${machine}; Node ${node}.`;
}
