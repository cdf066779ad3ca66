import {bold, outputWidth, padded, singleLine, textWidth} from './terminal.js';
import {hanging, wrapped} from './wrap.js';

/** A column of a table: its head, with the unit, and the text of its cells. */
export interface Column<Row> {
  /** Its name for `--columns`. */
  readonly name: string;
  readonly head: string;
  readonly cell: (row: Row) => string;
  /** Default `'right'`, for numbers. */
  readonly align?: 'left' | 'right';
  /** Whether the column is shown only if `--columns` names it. Default false. */
  readonly extra?: boolean;
}

/** The columns of a table by name. */
export type NamedColumns<Name extends string, Row> = Readonly<Record<Name, Omit<Column<Row>, 'name'>>>;

/** Returns the columns in the order of their names. */
export function columnsOf<Name extends string, Row>(
  names: readonly Name[],
  columns: NamedColumns<Name, Row>,
): Column<Row>[] {
  return names.map(name => ({name, ...columns[name]}));
}

export interface TableOptions {
  /** The names of the columns to show, in this order. Default: as many of the first ones as fit. */
  readonly chosen?: readonly string[] | undefined;
  /** Width in characters. Default: that of stdout. */
  readonly width?: number;
  /** Where the reader finds the columns that are left out. Default: `--columns all, or names`. */
  readonly elsewhere?: string;
}

/** The space between two columns. */
const gap = '  ';

/** Columns of text are wrapped down to this width before another column is left out. */
const narrowText = 16;

/**
 * Returns a table as text, never wider than `width`. Columns that do not fit are left out, from the last one, and named below. It becomes a
 * list if fewer than two columns fit, or not all of the chosen ones. Empty if it has none of the chosen columns.
 */
export function tableText<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  {chosen, width = outputWidth(), elsewhere = '--columns all, or names'}: TableOptions = {},
): string {
  const wanted = chosen?.flatMap(name => columns.filter(column => column.name === name));
  const measured = (wanted ?? columns.filter(({extra}) => extra !== true)).map(column =>
    measure(column, rows),
  );
  if (measured.length === 0) return '';
  const shown = wanted === undefined ? fitting(measured, width) : measured;
  const isTable = leastWidth(shown) <= width;
  const text = isTable ? asTable(shown, width) : asList(measured, width);
  if (wanted !== undefined) return text;
  const names = new Set((isTable ? shown : measured).map(({name}) => name));
  const hidden = columns.flatMap(({name}) => (names.has(name) ? [] : [name]));
  if (hidden.length === 0) return text;
  return [text, ...wrapped(`Not shown: ${hidden.join(', ')} (${elsewhere}).`, width)].join('\n');
}

/** Longer heads are always wrapped, so that columns of numbers stay close together. */
const longestHead = 14;

/** A column with the widths that its rows need. */
interface Measured {
  readonly name: string;
  readonly head: string;
  readonly align: 'left' | 'right';
  readonly cells: readonly string[];
  /** The least width. */
  readonly least: number;
  /** Widths that reduce its lines, in the order in which columns get them: first lines of text, then of the head. */
  readonly wishes: readonly number[];
}

function measure<Row>({name, head, cell, align = 'right'}: Column<Row>, rows: readonly Row[]): Measured {
  const cells = rows.map(row => singleLine(cell(row)));
  const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(textWidth));
  const word = widest(head.split(' '));
  const cellWidth = widest(cells);
  const least = Math.max(word, align === 'left' ? Math.min(cellWidth, narrowText) : cellWidth);
  const oneLine = textWidth(head);
  const wishes = [cellWidth, twoLines(head, least), oneLine <= longestHead ? oneLine : least];
  return {name, head, align, cells, least, wishes};
}

/** The least width, at least the given one, at which a head needs two lines, or one. */
function twoLines(head: string, least: number): number {
  let width = least;
  while (wrapped(head, width).length > 2) width++;
  return width;
}

const leastWidth = (columns: readonly Measured[]) =>
  columns.reduce((sum, {least}) => sum + least, gap.length * (columns.length - 1));

/** The first columns that fit; at least two, if there are two. */
function fitting(columns: readonly Measured[], width: number): readonly Measured[] {
  let shown = columns;
  while (shown.length > 2 && leastWidth(shown) > width) shown = shown.slice(0, -1);
  return shown;
}

/** The width of each column. Spare width goes to text first, then to heads, so that they need fewer lines. */
function widthsOf(columns: readonly Measured[], width: number): number[] {
  const widths = columns.map(({least}) => least);
  let spare = width - leastWidth(columns);
  for (const wish of [0, 1, 2]) {
    for (const [i, {head, cells, wishes}] of columns.entries()) {
      const wide = Math.min(widths[i]! + spare, Math.max(widths[i]!, wishes[wish]!));
      const lines = [head, ...cells].flatMap(text => wrapped(text, wide));
      const used = Math.max(...lines.map(textWidth));
      spare -= used - widths[i]!;
      widths[i] = used;
    }
  }
  return widths;
}

function asTable(columns: readonly Measured[], width: number): string {
  const widths = widthsOf(columns, width);
  const line = (texts: readonly string[], style = (text: string) => text) =>
    texts
      .map((text, i) => style(padded(text, widths[i]!, columns[i]!.align)))
      .join(gap)
      .replace(/ +$/, '');
  const lines = (texts: readonly string[], from: 'top' | 'bottom', style?: (text: string) => string) => {
    const parts = texts.map((text, i) => wrapped(text, widths[i]!));
    const height = Math.max(...parts.map(({length}) => length));
    return Array.from({length: height}, (_, y) =>
      line(
        parts.map(part => part[from === 'top' ? y : y - height + part.length] ?? ''),
        style,
      ),
    );
  };
  return [
    ...lines(
      columns.map(({head}) => head),
      'bottom',
      bold,
    ),
    widths.map(columnWidth => '─'.repeat(columnWidth)).join(gap),
    ...columns[0]!.cells.flatMap((_, row) =>
      lines(
        columns.map(({cells}) => cells[row]!),
        'top',
      ),
    ),
  ].join('\n');
}

function asList(columns: readonly Measured[], width: number): string {
  const indent = Math.min(Math.max(...columns.map(({head}) => textWidth(head))) + 2, Math.floor(width / 2));
  return columns[0]!.cells
    .map((_, row) =>
      columns.flatMap(({head, cells}) => hanging(head, cells[row]!, {width, indent})).join('\n'),
    )
    .join('\n\n');
}
