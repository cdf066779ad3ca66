import type {Figure, Run} from './history.js';

/** One measurement. Times are medians of one run in which everything that is compared took turns. */
export interface Row {
  readonly op: 'prefill' | 'backward' | 'decode' | 'append' | 'model' | 'read';
  readonly backend: string;
  /** `dense`, `int8`, `int4`, `int2`, `float8`, `lowRank` and so on; for `model` the name of the policy or of the peer. */
  readonly codec: string;
  readonly shape: string;
  /** For `model`: how its weights are stored, or the peer's file. */
  readonly weights?: string;
  /** Tokens of the past, or of the prompt. */
  readonly tokens: number;
  readonly ms: number;
  /** The speed relative to the best of plain tfjs ops, if those were measured. */
  readonly timesPlainTfjs?: number;
  /** How many times as fast as dense kernels of the same shape. */
  readonly timesDense?: number;
  /** Stored bytes of keys and values, read once, by the time. */
  readonly gigabytesPerSecond?: number;
  /** That, as a part of what a loop of vector loads over as many bytes reaches. */
  readonly partOfReadBandwidth?: number;
  /** Multiplications and additions, for prefill of the causal half only. */
  readonly gigaflops?: number;
}

const columns: readonly [name: keyof Row, title: string, digits: number][] = [
  ['timesDense', 'x dense', 2],
  ['timesPlainTfjs', 'x plain tfjs', 1],
  ['ms', 'ms', 3],
  ['gigabytesPerSecond', 'GB/s', 1],
  ['partOfReadBandwidth', 'of read', 2],
  ['gigaflops', 'GFLOP/s', 1],
];

/** A line of text: what was measured, ratios first, in columns. */
export function lineOf(row: Row): string {
  const subject = row.op === 'model' ? `${row.backend} ${row.weights ?? row.shape}` : row.shape;
  const what = `${row.op} ${subject} ${row.tokens} ${row.codec}`.padEnd(row.op === 'model' ? 70 : 50);
  const numbers = columns.map(([name, title, digits]) => {
    const value = row[name];
    const text =
      typeof value === 'number'
        ? `${(Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(digits)).padStart(9)} ${title}`
        : '';
    return text.padEnd(10 + title.length);
  });
  return `${what} ${numbers.join('')}`.trimEnd();
}

/** Which history an op's rows belong to: those that are measured side by side share one. */
const histories = {
  ...{prefill: 'prefill', backward: 'prefill', decode: 'decode', read: 'decode'},
  ...{append: 'append', model: 'model'},
} as const satisfies Record<Row['op'], string>;

/** The rows of a run as bench/history keeps them: a line for each kind of measurement and each shape or model. */
export function runsOfRows(rows: readonly Row[]): Pick<Run, 'what' | 'subject' | 'figures'>[] {
  const model = rows.find(({op}) => op === 'model')?.shape ?? '';
  const runs = new Map<string, {what: string; subject: string; figures: Figure[]}>();
  for (const {shape, ...row} of rows) {
    const what = histories[row.op];
    const isModel = what === 'model';
    const subject = isModel ? model : shape;
    const run = runs.get(`${what} ${subject}`) ?? {what, subject, figures: []};
    run.figures.push(figureOf(row));
    runs.set(`${what} ${subject}`, run);
  }
  return [...runs.values()];
}

/** Four significant digits are more than a repeated measurement agrees on. */
function figureOf(row: Omit<Row, 'shape'>): Figure {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      typeof value === 'number' && key !== 'tokens' ? Number(value.toPrecision(4)) : value,
    ]),
  );
}
