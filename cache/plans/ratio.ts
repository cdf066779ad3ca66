import {InvalidArgumentError} from '../../base/errors.js';
import {quantized} from '../policies/quantized.js';
import type {Plan} from './plan.js';
import {uniform} from './uniform.js';

/** Bits of keys and values, and how many numbers share a scale: from the least loss to the fewest bytes. */
const ladder = [
  {keyBits: 8, valueBits: 8, groupSize: 64},
  {keyBits: 8, valueBits: 4, groupSize: 64},
  {keyBits: 4, valueBits: 4, groupSize: 32},
  {keyBits: 4, valueBits: 4, groupSize: 64},
  {keyBits: 4, valueBits: 2, groupSize: 64},
  {keyBits: 2, valueBits: 2, groupSize: 32},
  {keyBits: 2, valueBits: 2, groupSize: 64},
] as const;

/** Bits of a float32 number; the scale and zero point of a group take as many together. */
const wordBits = 32;

/** Bytes per number relative to float32: its code and its share of scale and zero point. Exact first and last tokens are not counted. */
const ratioOf = ({keyBits, valueBits, groupSize}: (typeof ladder)[number]): number =>
  (keyBits + valueBits) / 2 / wordBits + 1 / groupSize;

/**
 * Returns the plan of integer codes with the least loss whose bytes per token are at most `ratio` of float32.
 *
 * @param ratio bytes per token in a long text, relative to float32. The exact first and last tokens are not included.
 * @throws InvalidArgumentError if no such plan is small enough.
 */
export function ofRatio(ratio: number): Plan {
  const fits = ladder.find(step => ratioOf(step) <= ratio);
  if (fits !== undefined) return uniform(quantized(fits));
  const least = Math.ceil(1000 * Math.min(...ladder.map(ratioOf))) / 1000;
  throw new InvalidArgumentError(
    `A plan for ${ratio}x of float32 is too small; the least is ${least}x. Evict tokens as well: h2o:store=integer,bits=4.`,
  );
}
