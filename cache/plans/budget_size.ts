import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';

/** How much a cache may take. */
export type BudgetSize = RatioBudget | TokenBudget | TextBudget;

export interface RatioBudget {
  /** Bytes per token of a long text, relative to float32: above 0 and at most 1. */
  readonly ratio: number;
}

export interface TokenBudget {
  /** Bytes per token of a long text, all depths together. */
  readonly bytesPerToken: number;
}

export interface TextBudget {
  /**
   * Bytes of the whole cache of one text, as `KVCache.byteSize` counts them: codes and scales, exact first tokens, tokens that wait to be
   * stored, tables of positions, and spare room. No step exceeds it before the text is longer. Depths with a sliding window take no more than
   * its tokens.
   */
  readonly bytes: number;
  /** The text's length in tokens. */
  readonly tokens: number;
}

const schemas = {
  ratio: v.strictObject({ratio: positiveNumber}),
  bytesPerToken: v.strictObject({bytesPerToken: positiveNumber}),
  bytes: v.strictObject({bytes: positiveNumber, tokens: atLeast(1)}),
};

/** @throws InvalidArgumentError if this is not the size of a budget. */
export function budgetSize(given: unknown): BudgetSize {
  if (typeof given === 'object' && given !== null) {
    if ('ratio' in given) return checkOptions('budget', schemas.ratio, given);
    if ('bytesPerToken' in given) return checkOptions('budget', schemas.bytesPerToken, given);
    if ('bytes' in given) return checkOptions('budget', schemas.bytes, given);
  }
  throw new InvalidArgumentError(
    `budget(${shown(given)}); expected {ratio: 0.1}, {bytesPerToken: 4096} or {bytes: 20e6, tokens: 4096}.`,
  );
}

const units = {B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3} as const;
const amount = '(?<number>\\d*\\.?\\d+) ?(?<unit>B|kB|MB|GB|KiB|MiB|GiB)';
const forms = {
  ratio: /^(?<ratio>\d*\.?\d+)x$/,
  bytesPerToken: new RegExp(`^${amount}/token$`),
  bytes: new RegExp(`^${amount}:tokens=(?<tokens>\\d+)$`),
};

/** Reads `0.1x`, `4kB/token` or `20MB:tokens=4096`; undefined if a text is none of these. */
export function sizeOfText(text: string): BudgetSize | undefined {
  const groupsOf = (form: keyof typeof forms) => forms[form].exec(text)?.groups;
  const bytesOf = ({number, unit}: Record<string, string>) =>
    Number(number) * units[unit as keyof typeof units];
  const ratio = groupsOf('ratio');
  if (ratio !== undefined) return {ratio: Number(ratio['ratio'])};
  const perToken = groupsOf('bytesPerToken');
  if (perToken !== undefined) return {bytesPerToken: bytesOf(perToken)};
  const ofText = groupsOf('bytes');
  return ofText && {bytes: bytesOf(ofText), tokens: Number(ofText['tokens'])};
}

/** The text of a budget, which `sizeOfText` reads. */
export function textOfBudget(size: BudgetSize): string {
  if ('ratio' in size) return `${decimal(size.ratio)}x`;
  if ('bytesPerToken' in size) return `${inUnit(size.bytesPerToken)}/token`;
  return `${inUnit(size.bytes)}:tokens=${size.tokens}`;
}

/** Bytes exactly, in the largest unit that leaves a whole number. */
function inUnit(bytes: number): string {
  const [unit, size] = (
    [
      ['MB', 1e6],
      ['kB', 1e3],
    ] as const
  ).find(([, of]) => bytes % of === 0) ?? ['B', 1];
  return `${decimal(bytes / size)}${unit}`;
}

/** Without an exponent, which texts do not have. */
const decimal = (number: number) =>
  /e/.test(String(number)) ? number.toFixed(20).replace(/\.?0+$/, '') : String(number);
