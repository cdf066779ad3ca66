import * as v from 'valibot';
import {type AgeOptions, nearBitsOf} from './widths_by_age.js';

/** A mean number of bits, or the falling numbers of some levels. */
export type TransformBits =
  | number
  | `${number}/${number}`
  | `${number}/${number}/${number}`
  | `${number}/${number}/${number}/${number}`;

const expected =
  'expected a number above 0, at most 8, or two to four such numbers that fall, such as "4.5/2.3/0.8"';

/** The valibot schema of the option `bits`. */
export const bitsOption = v.custom<TransformBits>(isBits, expected);

function isBits(given: unknown): given is TransformBits {
  if (typeof given === 'number') return isNumberOfBits(given);
  if (typeof given !== 'string') return false;
  const bits = numbersIn(given);
  const falls = bits.every((of, level) => level === 0 || of < bits[level - 1]!);
  return bits.length >= 2 && bits.length <= 4 && bits.every(isNumberOfBits) && falls;
}

const isNumberOfBits = (bits: number) => bits > 0 && bits <= 8;

const numbersIn = (text: string) => text.split('/').map(part => (part.trim() === '' ? NaN : Number(part)));

/** Whether tokens lose bits by their scores. */
export const hasLevels = (bits: TransformBits): bits is Exclude<TransformBits, number> =>
  typeof bits === 'string';

/** The mean bits of each level, most first. */
export function bitsOfLevels({bits, near, extraBits}: AgeOptions & {readonly bits: TransformBits}): number[] {
  if (hasLevels(bits)) return numbersIn(bits);
  return near === 0 ? [bits] : [nearBitsOf(bits, extraBits), bits];
}
