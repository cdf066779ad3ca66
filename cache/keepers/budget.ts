import * as v from 'valibot';
import {tensorsOf} from '../../ops/encodings/encoding.js';
import type {Budget} from '../contract.js';
import type {Segment} from '../past/past.js';

const units = {B: 1, kB: 1e3, MB: 1e6} as const;

const amount = /^(?<number>\d+(?:\.\d+)?) ?(?<unit>B|kB|MB)$/;

/** A keeper's budget as an option: a whole number of tokens from `least` on, or bytes such as `"64kB"`. */
export const budgetOf = (least: number) => {
  const expected = `expected a whole number of tokens >= ${least}, or bytes such as "64kB"`;
  return v.custom<Budget>(
    given =>
      typeof given === 'number'
        ? Number.isInteger(given) && given >= least
        : typeof given === 'string' && amount.test(given),
    expected,
  );
};

/** A budget as bytes; undefined if it counts tokens. */
export function bytesOf(budget: Budget): number | undefined {
  if (typeof budget === 'number') return undefined;
  const {number, unit} = amount.exec(budget)!.groups as {number: string; unit: keyof typeof units};
  return Number(number) * units[unit];
}

/**
 * What a segment takes per token and text, in bytes: keys and values, and for each key head a position and, if attention is
 * observed, a score; and what its tokens share.
 */
export function bytesPerToken(segment: Segment, observed: boolean): {perToken: number; shared: number} {
  let perToken = 0;
  let shared = 0;
  let heads = 0;
  for (const {tensor, tokensPerRow} of [segment.keys, segment.values].flatMap(encoding =>
    Object.values(tensorsOf(encoding)),
  )) {
    const [batch, kvHeads, , columns] = tensor.shape;
    heads = kvHeads;
    if (tokensPerRow === Infinity) shared += (4 * tensor.size) / batch;
    else perToken += (4 * kvHeads * columns) / tokensPerRow;
  }
  return {perToken: perToken + 4 * heads * (observed ? 2 : 1), shared};
}
