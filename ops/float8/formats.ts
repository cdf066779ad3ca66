import type {Float8Layout} from '../encodings/encoding.js';

/** What tells the two formats apart. A normal number is `2^(exponent - bias) * (1 + mantissa / 2^mantissaBits)`. */
export interface Float8Format {
  readonly mantissaBits: number;
  readonly bias: number;
  readonly largest: number;
  /** The code of the largest number. */
  readonly largestCode: number;
}

export const float8Formats: {readonly [Name in Float8Layout['format']]: Float8Format} = {
  e4m3: {mantissaBits: 3, bias: 7, largest: 448, largestCode: 0x7e},
  e5m2: {mantissaBits: 2, bias: 15, largest: 57344, largestCode: 0x7b},
};
