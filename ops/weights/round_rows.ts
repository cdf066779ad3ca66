import type {CodedRow} from '../../base/files/coded_row.js';
import {float16Bits, float16Values} from '../../base/files/float_formats.js';
import {inputsOfRecord} from './formats.js';

/** The formats that float weights are rounded to. */
export type RoundedFormat = 'packed8' | 'packed4';

/**
 * Rows of float weights as codes, each block of 32 by itself. If a row's last block is not full, it is filled with codes of 0.
 *
 * - `packed8`: the scale is the largest magnitude / 127 and codes are rounded to nearest, so a weight changes by at most half a scale
 *   (plus 2^-11 of the weight, since the scale is rounded to float16).
 * - `packed4`: scale and minimum start as (largest - smallest) / 15 and the smallest weight, and are fitted to the codes by least squares
 *   as long as that lowers the squared error of the block. On normally distributed weights the root mean square error is 0.072 of their
 *   deviation; 0.077 without the fits, 0.086 by Q4_0's rule, and 0.071 if three clipped ranges are tried too, at twice the time.
 *
 * A scale or minimum that float16 cannot hold becomes an infinity.
 *
 * @param values finite numbers, one row after the other.
 * @param columns numbers of a row.
 */
export function roundRows(values: Float32Array, columns: number, format: RoundedFormat): CodedRow {
  const blocks = Math.ceil(columns / inputsOfRecord) * (values.length / columns);
  const codes = new (format === 'packed8' ? Int8Array : Uint8Array)(blocks * inputsOfRecord);
  const scales = new Uint16Array(blocks);
  const minima = format === 'packed8' ? undefined : new Uint16Array(blocks);
  for (let block = 0, start = 0; block < blocks; block++) {
    const end = Math.min(start + inputsOfRecord, start - (start % columns) + columns);
    const to = block * inputsOfRecord;
    if (minima === undefined) scales[block] = round8(values, start, end, codes, to);
    else {
      const {scale, minimum} = round4(values, start, end, codes, to);
      scales[block] = float16Bits(scale);
      minima[block] = float16Bits(minimum);
    }
    start = end;
  }
  return {codes, scales, minima};
}

type Codes = CodedRow['codes'];

/** Rounds the values from `start` to `end` to codes from `to` on, and gives the bits of their scale. */
function round8(values: Float32Array, start: number, end: number, codes: Codes, to: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
  const nearest = float16Bits(largest / 127);
  // a scale below the normal float16 numbers may be rounded so far down that the largest weight has no code
  const bits = 127.5 * halves[nearest]! < largest ? nearest + 1 : nearest;
  const scale = halves[bits]!;
  if (scale > 0) for (let i = start; i < end; i++) codes[to + i - start] = Math.round(values[i]! / scale);
  return bits;
}

/** Scale and minimum, float16 numbers both, and what they do to a block. */
interface Fit {
  readonly scale: number;
  readonly minimum: number;
  readonly squaredError: number;
  /** Fitted to the codes by least squares. */
  readonly next: Pick<Fit, 'scale' | 'minimum'>;
}

/** More fits lower the error of random weights by less than a thousandth. */
const mostFits = 6;

function round4(values: Float32Array, start: number, end: number, codes: Codes, to: number): Fit {
  let [least, most] = [Infinity, -Infinity];
  for (let i = start; i < end; i++) {
    least = Math.min(least, values[i]!);
    most = Math.max(most, values[i]!);
  }
  let best = fit(values, start, end, toHalf((most - least) / 15), toHalf(least));
  for (let fits = 0; fits < mostFits; fits++) {
    const next = fit(values, start, end, best.next.scale, best.next.minimum);
    if (!(next.squaredError < best.squaredError)) break;
    best = next;
  }
  const {scale, minimum} = best;
  for (let i = start; i < end; i++) codes[to + i - start] = code4(values[i]!, scale, minimum);
  return best;
}

function fit(values: Float32Array, start: number, end: number, scale: number, minimum: number): Fit {
  let squaredError = 0;
  let [sumQ, sumQQ, sumX, sumXQ] = [0, 0, 0, 0];
  for (let i = start; i < end; i++) {
    const value = values[i]!;
    const code = code4(value, scale, minimum);
    const error = scale * code + minimum - value;
    squaredError += error * error;
    sumQ += code;
    sumQQ += code * code;
    sumX += value;
    sumXQ += value * code;
  }
  const count = end - start;
  const spread = count * sumQQ - sumQ * sumQ;
  const fitted = spread > 0 ? (count * sumXQ - sumX * sumQ) / spread : scale;
  const next = {scale: toHalf(fitted), minimum: toHalf((sumX - fitted * sumQ) / count)};
  return {scale, minimum, squaredError, next};
}

function code4(value: number, scale: number, minimum: number): number {
  return scale === 0 ? 0 : Math.max(0, Math.min(15, Math.round((value - minimum) / scale)));
}

const halves = float16Values();
const toHalf = (number: number) => halves[float16Bits(number)]!;
