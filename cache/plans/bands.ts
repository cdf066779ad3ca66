import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {checkOptions, specOf} from '../../base/options.js';
import {type PolicyLike, asPolicy} from '../policies/as_policy.js';
import type {Plan} from './plan.js';
import {layered} from '../policies/layered.js';
import {quantized} from '../policies/quantized.js';

export interface BandsOptions {
  /** Policy of the shallow depths. Default `layered({longTermBits: 4, rankOf: 'keys'})`. */
  readonly shallow?: PolicyLike;
  /** Policy of the deep depths. Default `quantized({keyBits: 8, valueBits: 4})`. */
  readonly deep?: PolicyLike;
  /** Policy of the last depths. Default `quantized({bits: 8})`. */
  readonly output?: PolicyLike;
  /** The share of depths in each band, in this order; they sum to 1. Default [3/8, 3/8, 2/8]. */
  readonly shares?: readonly [number, number, number];
}

const share = v.pipe(v.number('expected three shares that sum to 1'), v.minValue(0, 'expected shares >= 0'));
const schema = v.strictObject({
  shares: v.optional(v.strictTuple([share, share, share], 'expected three shares that sum to 1'), [
    3 / 8,
    3 / 8,
    2 / 8,
  ]),
});

/**
 * Returns a plan of three bands over the depths of any model: shallow, deep, output. Boundaries are rounded to whole depths.
 *
 * The default bands of a model of 32 layers are layers 1-12, 13-24 and 25-32. Shallow layers, whose keys are low rank, store keys as low
 * rank and both sides in 4 bits; deep layers store keys in 8 and values in 4 bits; output layers store both in 8 bits.
 *
 * @throws InvalidArgumentError if a policy cannot be read, or if the shares do not sum to 1.
 */
export function bands(options: BandsOptions = {}): Plan {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError(
      `bands(${shown(given)}); expected an object with any of shallow, deep, output and shares.`,
    );
  }
  const {
    shallow = layered({longTermBits: 4, rankOf: 'keys'}),
    deep = quantized({keyBits: 8, valueBits: 4}),
    output = quantized({bits: 8}),
    ...rest
  } = options;
  const {shares} = checkOptions('bands', schema, rest);
  if (Math.abs(shares[0] + shares[1] + shares[2] - 1) > 1e-6) {
    throw new InvalidArgumentError(
      `bands: shares = [${shares.join(', ')}]; expected three shares that sum to 1.`,
    );
  }
  const policies = {shallow: asPolicy(shallow), deep: asPolicy(deep), output: asPolicy(output)};
  return {
    policyFor: (depth, depths) => policies[bandOf(depth, depths, shares)],
    toJSON: () => ({
      plan: 'bands',
      shallow: specOf(policies.shallow),
      deep: specOf(policies.deep),
      output: specOf(policies.output),
      shares,
    }),
  };
}

/** Returns the band of a depth. */
export function bandOf(
  depth: number,
  depths: number,
  [shallow, deep]: readonly [number, number, number] = [3 / 8, 3 / 8, 2 / 8],
): 'shallow' | 'deep' | 'output' {
  if (depth < Math.round(shallow * depths)) return 'shallow';
  return depth < Math.round((shallow + deep) * depths) ? 'deep' : 'output';
}
