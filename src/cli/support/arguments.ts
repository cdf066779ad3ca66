import {parseArgs} from 'node:util';
import {UsageError} from './usage_error.js';

/** Every value of an option that may come several times; citty keeps the last only. */
export function everyValue(rawArgs: readonly string[], option: string): string[] {
  const {tokens} = parseArgs({
    args: [...rawArgs],
    options: {[option]: {type: 'string', multiple: true}},
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  return tokens.flatMap(token =>
    token.kind === 'option' && token.name === option && token.value !== undefined ? [token.value] : [],
  );
}

/** A whole number of at least `least`, or nothing where the option was not given. */
export function wholeNumber(value: string | undefined, option: string, least = 1): number | undefined {
  return checkedNumber(
    value,
    option,
    `a whole number >= ${least}`,
    x => Number.isSafeInteger(x) && x >= least,
  );
}

/** A number of at least 0, or nothing where the option was not given. */
export function positiveNumber(value: string | undefined, option: string): number | undefined {
  return checkedNumber(value, option, 'a number >= 0', x => Number.isFinite(x) && x >= 0);
}

/** A number above 0, at most 1, or nothing where the option was not given. */
export function share(value: string | undefined, option: string): number | undefined {
  return checkedNumber(value, option, 'a number above 0, at most 1', x => x > 0 && x <= 1);
}

function checkedNumber(
  value: string | undefined,
  option: string,
  expected: string,
  allowed: (x: number) => boolean,
): number | undefined {
  if (value === undefined) return undefined;
  const number = value.trim() === '' ? NaN : Number(value);
  if (allowed(number)) return number;
  throw new UsageError(`--${option} = "${value}"; expected ${expected}.`);
}

/** The object without its undefined entries: what an options object with optional keys takes. */
export function given<T extends object>(options: T): {[Key in keyof T]?: Exclude<T[Key], undefined>} {
  const present = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as {[Key in keyof T]?: Exclude<T[Key], undefined>};
}
