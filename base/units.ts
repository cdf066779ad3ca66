/**
 * How numbers are formatted for people, everywhere, so that nothing reads "-0.00 %", "1.0x larger" or "1 tokens".
 */

/** Numbers from here on are shown with powers of ten. */
const longNumber = 1e7;

/** 1,234,567 */
export function count(number: number): string {
  if (!Number.isFinite(number)) return unknown(number);
  return (Math.round(number) + 0).toLocaleString('en-US'); // + 0: no -0
}

/** "1 token", "1,234 tokens" */
export function counted(number: number, one: string): string {
  const shown = count(number);
  return `${shown} ${one}${shown === '1' ? '' : 's'}`;
}

/** A number with `digits` decimals, or in exponential form if it is large: 20.50, 1.2e+9. */
export function fixed(number: number, digits: number): string {
  if (!Number.isFinite(number)) return unknown(number);
  if (Math.abs(number) >= longNumber) return number.toExponential(1);
  const text = number.toFixed(digits);
  return Number(text) === 0 ? text.replace('-', '') : text;
}

/** A number with three or so significant digits: 1,234, 123, 12.3, 1.23, 0.00123. */
export function short(number: number): string {
  if (!Number.isFinite(number)) return unknown(number);
  if (Math.abs(number) >= longNumber) return number.toExponential(1);
  const rounded = Number(number.toPrecision(3));
  return Math.abs(rounded) >= 100 ? count(number) : String(rounded + 0);
}

/** A number near zero: 0.0123, 0.00042, 3.1e-6, 0. */
export function small(number: number): string {
  if (!Number.isFinite(number)) return unknown(number);
  if (number === 0) return '0';
  return Math.abs(number) < 1e-4 ? number.toExponential(1) : String(Number(number.toPrecision(2)));
}

/** The relative difference of two numbers: +0.14 %, -3.20 %, 0.00 %. */
export function change(number: number, from: number): string {
  const percent = 100 * (number / from - 1);
  if (Number.isNaN(percent)) return unknown(percent);
  const shown = Math.abs(percent) >= 1000 ? short(percent) : fixed(percent, 2);
  return `${percent > 0 && Number(shown) !== 0 ? '+' : ''}${shown} %`;
}

/** A share of a whole: 98.7 %, 4.56 %, 0.03 %, 0 %, 100 %; or with a given number of digits. */
export function percent(share: number, digits?: number): string {
  const value = 100 * share;
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return unknown(value);
  if (digits !== undefined) return `${fixed(value, digits)} %`;
  if (size > 0 && size < 0.001) return '< 0.001 %';
  if (size > 0 && size < 0.095) return `${Number(value.toPrecision(1))} %`;
  return `${Number.isInteger(value) ? count(value) : fixed(value, size < 9.995 ? 2 : 1)} %`;
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 2.00 GiB, 512 MiB, 512 B, 0.5 B */
export function byteSize(bytes: number): string {
  if (!Number.isFinite(bytes)) return unknown(bytes);
  const last = byteUnits.length - 1;
  let power = 0;
  let value = bytes;
  // what would be shown as 1024 is 1 of the next unit
  while (power < last && Math.abs(value) >= 1023.5) {
    value /= 1024;
    power++;
  }
  if (power === 0) return `${short(bytes)} B`;
  return `${Math.abs(value) >= 99.995 ? count(value) : value.toFixed(2)} ${byteUnits[power]!}`;
}

/**
 * How much smaller a thing is than another that has `ratio` times its size: 3.8x smaller, 1.04x larger, the same.
 * Two decimals below 1.1, since 1.0x would not tell the difference.
 */
export function timesSmaller(ratio: number): string {
  if (!(ratio > 0) || !Number.isFinite(ratio)) return '-';
  const factor = ratio > 1 ? ratio : 1 / ratio;
  const shown = fixed(factor, factor < 1.095 ? 2 : factor < 9.95 ? 1 : 0);
  return Number(shown) === 1 ? 'the same' : `${shown}x ${ratio > 1 ? 'smaller' : 'larger'}`;
}

/** "3.8x smaller than float32", "the same as float32" */
export function comparedWith(ratio: number, baseline: string): string {
  const times = timesSmaller(ratio);
  return `${times} ${times === 'the same' ? 'as' : 'than'} ${baseline}`;
}

/** How a number that could not be computed is shown. */
function unknown(number: number): string {
  return Number.isNaN(number) ? '-' : number > 0 ? 'infinite' : '-infinite';
}
