import {InvalidArgumentError} from '../../base/errors.js';
import {quantized} from '../policies/quantized.js';
import type {Plan} from './plan.js';
import type {Policy} from '../contract.js';
import {transform} from '../policies/transform.js';
import {profileOfModel} from '../codecs/transform_profile/of_model.js';
import type {TransformProfile} from '../codecs/transform_profile/profile.js';
import {sizesOf} from '../codecs/transform_profile/widths.js';

/**
 * Bits of keys and values, from the least loss to the fewest bytes. On SmolLM2, bits of keys cost seven times the KL divergence of the same
 * bits of values, and another bit of keys gains far more than groups of half the size.
 */
const ladder = [
  {keyBits: 8, valueBits: 8},
  {keyBits: 8, valueBits: 6},
  {keyBits: 8, valueBits: 5},
  {keyBits: 6, valueBits: 6},
  {keyBits: 6, valueBits: 5},
  {keyBits: 6, valueBits: 4},
  {keyBits: 5, valueBits: 4},
  {keyBits: 5, valueBits: 3},
  {keyBits: 4, valueBits: 3},
  {keyBits: 4, valueBits: 2},
  {keyBits: 3, valueBits: 2},
  {keyBits: 2, valueBits: 2},
] as const;

/** Numbers that share a scale. */
const groupSize = 64;

/** Bits of a float32 number; the scale and the zero point of a group take as many together. */
const wordBits = 32;

/** Bytes per number relative to float32: its code and its share of scale and zero point. Exact first and last tokens are not counted. */
const ratioOf = ({keyBits, valueBits}: (typeof ladder)[number]): number =>
  (keyBits + valueBits) / 2 / wordBits + 1 / groupSize;

/**
 * Returns the plan of the least loss whose bytes per token are at most `ratio` of float32: codes in the metric of the loss (`transform`)
 * if the model has a profile, else integer codes.
 *
 * @param ratio bytes per token in a long text, relative to float32. The exact first and last tokens are not included.
 * @throws InvalidArgumentError if no such plan is small enough; from `policyFor`, since it depends on the model.
 */
export function ofRatio(ratio: number): Plan {
  return {
    policyFor: (_depth, _depths, model) => {
      const profile = model && profileOfModel(model);
      return profile === undefined ? integersOf(ratio) : transform({bits: bitsOf(profile, ratio)});
    },
    toJSON: () => ({plan: 'ratio', ratio}),
  };
}

function integersOf(ratio: number): Policy {
  const fits = ladder.find(step => ratioOf(step) <= ratio);
  if (fits !== undefined) return quantized({...fits, groupSize});
  const least = Math.ceil(1000 * Math.min(...ladder.map(ratioOf))) / 1000;
  throw new InvalidArgumentError(
    `A plan for ${ratio}x of float32 is too small; the least without a profile of the model is ${least}x. Calibrate the model, or evict ` +
      'tokens as well: h2o:store=integer,bits=4.',
  );
}

/** Bits of codes per number, if scales are counted. */
function bitsOf(profile: TransformProfile, ratio: number): number {
  const {numbers, scales} = sizesOf(profile);
  const scaleBits = (8 * scales) / numbers;
  const bits = Math.min(wordBits * ratio - scaleBits, 8);
  if (bits >= leastBits) return bits;
  throw new InvalidArgumentError(
    `A plan for ${ratio}x of float32 is too small; the least is ${((leastBits + scaleBits) / wordBits).toFixed(3)}x. Evict tokens as well.`,
  );
}

/** Fewer bits than these are not worth their loss. */
const leastBits = 0.5;
