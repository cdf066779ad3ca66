import {InvalidArgumentError} from '../../base/errors.js';
import {quantized} from '../policies/quantized.js';
import type {Plan} from './plan.js';
import {uniform} from './uniform.js';

/** Bits of keys and values, and the numbers that share a scale: from the best to the smallest. */
const ladder = [
  {keyBits: 8, valueBits: 8, groupSize: 64},
  {keyBits: 8, valueBits: 4, groupSize: 64},
  {keyBits: 4, valueBits: 4, groupSize: 32},
  {keyBits: 4, valueBits: 4, groupSize: 64},
  {keyBits: 4, valueBits: 2, groupSize: 64},
  {keyBits: 2, valueBits: 2, groupSize: 32},
  {keyBits: 2, valueBits: 2, groupSize: 64},
] as const;

/** Bits of a float32 number; the parameters of a group take as many. */
const wordBits = 32;

/** What one number takes, of float32: codes and its part of the parameters. First and last tokens, which are exact, are not counted. */
const ratioOf = ({keyBits, valueBits, groupSize}: (typeof ladder)[number]): number =>
  (keyBits + valueBits) / 2 / wordBits + 1 / groupSize;

/**
 * The plan with the least loss whose long texts take at most `ratio` of float32: integer codes of as many bits as fit.
 *
 * @param ratio bytes per token of a long text over those of float32. The first and the last tokens, which stay exact, come on top.
 * @throws InvalidArgumentError if nothing is as small.
 */
export function ofRatio(ratio: number): Plan {
  const fits = ladder.find(step => ratioOf(step) <= ratio);
  if (fits !== undefined) return uniform(quantized(fits));
  const least = Math.ceil(1000 * Math.min(...ladder.map(ratioOf))) / 1000;
  throw new InvalidArgumentError(
    `A plan for ${ratio}x of float32 is too small; the least is ${least}x. Evict tokens as well: h2o:store=integer,bits=4.`,
  );
}
