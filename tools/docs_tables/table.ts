import type {Figure} from '../../bench/support/history.js';
import {count, fixed, percent, short, small} from '../../base/units.js';
import {type Cells, number, text} from './cells.js';

/** A table of a page: the newest run of its kind and subject, as rows of text. */
export interface Table {
  readonly what: string;
  /** What the run's subject begins with. */
  readonly subject: string;
  readonly cells: (figures: readonly Figure[]) => Cells;
  /** What a figure is of, if the table shows those of all runs, of equal ones the newest. Default: the newest run alone. */
  readonly case?: (figure: Figure) => string;
}

// How numbers are written.

export const smollm2 = 'SmolLM2-135M-Instruct.Q4_1';
export const code = (key: string) => (figure: Figure) => `\`${text(key)(figure)}\``;
export const digits = (many: number) => (value: number) => fixed(value, many);
export const tokens = number('tokens', value => `${count(value)} tokens`);
/** Three digits or more, aligned: 0.137, 2.22, 43.0, 119.3. */
export const milliseconds = (key: string) =>
  number(key, value => fixed(value, value < 1 ? 3 : value < 10 ? 2 : 1));
export const ms = milliseconds('ms');
export const share = (value: number) => percent(value, 0);
/** A fraction as a signed percentage of three digits: +0.35 %, +18.1 %, +155 %. */
export const changed = (fraction: number): string => {
  const size = Math.abs(100 * fraction);
  const shown = size >= 100 ? short(100 * fraction) : fixed(100 * fraction, size < 10 ? 2 : 1);
  return `${fraction > 0 && Number(shown) !== 0 ? '+' : ''}${shown} %`;
};
/** Nats, to three digits. */
export const nats = (value: number) => (value > 0 && value < 1e-4 ? small(value) : short(value));

/** 2.3e-7. */
export const exponent = (value: number) => value.toExponential(1);
