import {Table} from 'console-table-printer';

/** A column: its head, with the unit, and how it shows a row. */
export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => string;
  /** Default 'right', for numbers. */
  readonly align?: 'left' | 'right';
}

/** A table as text, in colour on a terminal. */
export function tableText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const table = new Table({
    columns: columns.map(({head, align = 'right'}) => ({name: head, alignment: align})),
    shouldDisableColors: !process.stdout.isTTY,
  });
  for (const row of rows) {
    table.addRow(Object.fromEntries(columns.map(({head, cell}) => [head, cell(row)])));
  }
  return table.render();
}
