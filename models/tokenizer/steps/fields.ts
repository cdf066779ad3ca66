import {FormatError, shown} from '../../../base/errors.js';

/** A step of a tokenizer.json, its keys not yet checked. */
export type Fields = Readonly<Record<string, unknown>>;

export function needString(step: Fields, key: string): string {
  const value = step[key];
  if (typeof value === 'string') return value;
  throw new FormatError(`The tokenizer has a ${key} that is not a text: ${shown(value)}.`);
}

/** One character, which may be two code units. */
export function needCharacter(step: Fields, key: string): string {
  const text = needString(step, key);
  if (Array.from(text).length === 1) return text;
  throw new FormatError(`The tokenizer has ${key} = ${shown(text)}; expected one character.`);
}

/** @param fallback for a key that is missing or null; without one the key must be there. */
export function needBoolean(step: Fields, key: string, fallback?: boolean): boolean {
  const value = step[key] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw new FormatError(
    `The tokenizer has a step ${String(step['type'])} with ${key} = ${shown(value)}; expected true or false.`,
  );
}

/** A key that may be missing, but not be anything but a whole number within limits. */
export function readInteger(step: Fields, key: string, least: number, most: number): number | undefined {
  const value = step[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new FormatError(
    `The tokenizer has ${key} = ${shown(value)}; expected a whole number from ${least} to ${most}.`,
  );
}

export function needInteger(step: Fields, key: string, least: number, most: number): number {
  const value = readInteger(step, key, least, most);
  if (value !== undefined) return value;
  throw new FormatError(`The tokenizer has no ${key}; expected a whole number from ${least} to ${most}.`);
}

/** One of some words. */
export function needWord<T extends string>(step: Fields, key: string, words: readonly T[], fallback?: T): T {
  const value = step[key] ?? fallback;
  const word = words.find(one => one === value);
  if (word !== undefined) return word;
  throw new FormatError(
    `The tokenizer has a step ${String(step['type'])} with ${key} = ${shown(value)}; expected one of ${words.join(', ')}.`,
  );
}
