/** One measurement. Times are medians of one run in which everything that is compared took turns. */
export interface Row {
  readonly op: 'prefill' | 'backward' | 'decode' | 'append' | 'model' | 'read';
  readonly backend: string;
  /** `dense`, `int8`, `int4`, `int2`, `float8`, `lowRank` and so on; for `model` the name of the policy or of the peer. */
  readonly codec: string;
  readonly shape: string;
  /** Tokens of the past, or of the prompt. */
  readonly tokens: number;
  readonly ms: number;
  /** How many times as fast as the best of plain tfjs ops, where those were measured. */
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
  const what = `${row.op} ${row.shape} ${row.tokens} ${row.codec}`.padEnd(50);
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
