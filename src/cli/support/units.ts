/** 1,234,567 */
export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}

/** A number with three or so significant digits: 1,234, 123, 12.3, 1.23, 0.00123. */
export function short(number: number): string {
  if (!Number.isFinite(number)) return String(number);
  if (Math.abs(number) >= 100) return count(number);
  return number === 0 ? '0' : String(Number(number.toPrecision(3)));
}

/** A number near zero: 0.0123, 0.00042, 3.1e-6, 0. */
export function small(number: number): string {
  if (number === 0) return '0';
  return Math.abs(number) < 1e-4 ? number.toExponential(1) : String(Number(number.toPrecision(2)));
}

/** How far a number lies from another: +0.14 %, -3.2 %. */
export function change(number: number, from: number): string {
  const percent = 100 * (number / from - 1);
  return `${percent < 0 ? '-' : '+'}${Math.abs(percent).toFixed(2)} %`;
}

/** 2.00 GiB, 512 MiB, 3,072 B */
export function byteSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  if (power === 0) return `${count(bytes)} B`;
  const value = bytes / 1024 ** power;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ${units[power]!}`;
}

/** 3.8x smaller, 1.1x larger, same */
export function timesSmaller(ratio: number): string {
  if (Math.abs(ratio - 1) < 0.005) return 'same';
  const [factor, word] = ratio > 1 ? [ratio, 'smaller'] : [1 / ratio, 'larger'];
  return `${factor < 10 ? factor.toFixed(1) : factor.toFixed(0)}x ${word}`;
}
