import * as v from 'valibot';
import {headsOf, tensorsOf} from '../../ops/encodings/encoding.js';
import type {Budget} from '../contract.js';
import type {Segment} from '../past/past.js';
import {isLent} from '../sharing/shared_tensors.js';

const units = {B: 1, kB: 1e3, MB: 1e6, KiB: 1024, MiB: 1024 ** 2} as const;

const amount = /^(?<number>\d+(?:\.\d+)?) ?(?<unit>B|kB|MB|KiB|MiB)$/;

/** The valibot schema of a keeper's budget: a whole number of tokens or an amount of bytes such as `"64kB"`, at least `least`. */
export const budgetOf = (least: number) => {
  const expected = `expected a whole number of tokens >= ${least}, or bytes such as "64kB"`;
  return v.custom<Budget>(given => isBudget(given, least), expected);
};

/** The valibot schema of a budget in bytes, at least 1. */
export const byteBudget = v.custom<Exclude<Budget, number>>(
  given => typeof given === 'string' && isBudget(given, 1),
  'expected bytes such as "64kB"',
);

/** Whether a value is a whole number of tokens, or bytes with their unit, at least `least` of them. */
export function isBudget(given: unknown, least: number): given is Budget {
  if (typeof given === 'number') return Number.isInteger(given) && given >= least;
  if (typeof given !== 'string' || !amount.test(given)) return false;
  const bytes = bytesOf(given as Budget)!;
  return bytes >= least && bytes < Infinity;
}

/** Returns a budget in bytes; undefined if it is a number of tokens. */
export function bytesOf(budget: Budget): number | undefined {
  if (typeof budget === 'number') return undefined;
  const {number, unit} = amount.exec(budget)!.groups as {number: string; unit: keyof typeof units};
  return Number(number) * units[unit];
}

/**
 * Returns the bytes of a segment for one text: `perToken` for the keys and values of one token, and for each key head its position, its score
 * and its bias, if it has them; `shared` for what its tokens have in common, such as a basis.
 */
export function bytesPerToken(
  segment: Segment,
  {scored, biased}: {readonly scored: boolean; readonly biased: boolean},
): {perToken: number; shared: number} {
  let perToken = 0;
  let shared = 0;
  for (const {tensor, tokensPerRow} of [segment.keys, segment.values].flatMap(encoding =>
    Object.values(tensorsOf(encoding)),
  )) {
    const [batch, heads, , columns] = tensor.shape;
    if (isLent(tensor)) continue;
    if (tokensPerRow === Infinity) shared += (4 * tensor.size) / batch;
    else perToken += (4 * heads * columns) / tokensPerRow;
  }
  const {kvHeads} = headsOf(segment.keys);
  return {perToken: perToken + 4 * kvHeads * (1 + Number(scored) + Number(biased)), shared};
}
