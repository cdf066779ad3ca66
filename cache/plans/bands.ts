import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {checkOptions, specOf} from '../../base/options.js';
import {type PolicyLike, asPolicy} from '../policies/as_policy.js';
import {quantized} from '../policies/quantized.js';
import {budget} from './budget.js';
import {calibratedOr} from './calibrated_or.js';
import type {Plan} from './plan.js';

export interface BandsOptions {
  /** Policy of the shallow depths. Default `budget({ratio: 0.15})` if the model has a profile, else `quantized({keyBits: 5, valueBits: 4})`. */
  readonly shallow?: PolicyLike;
  /** Policy of the deep depths. Default: as for `shallow`. */
  readonly deep?: PolicyLike;
  /** Policy of the last depths. Default: as for `shallow`. */
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
 * Returns a plan of three bands over the depths of any model: shallow, deep, output. Boundaries are rounded to whole depths. The default
 * bands of a model of 32 layers are layers 1-12, 13-24 and 25-32.
 *
 * Bands are for models whose depths differ, as `monitor` shows. By default all three are alike: on SmolLM2 no division of the same bytes
 * among them lost less, and with a profile bits follow the depths in any case.
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
  const {shallow, deep, output, ...rest} = options;
  const {shares} = checkOptions('bands', schema, rest);
  if (Math.abs(shares[0] + shares[1] + shares[2] - 1) > 1e-6) {
    throw new InvalidArgumentError(
      `bands: shares = [${shares.join(', ')}]; expected three shares that sum to 1.`,
    );
  }
  const policies = Object.fromEntries(
    Object.entries({shallow, deep, output}).flatMap(([band, policy]) =>
      policy === undefined ? [] : [[band, asPolicy(policy)]],
    ),
  );
  const byDefault = calibratedOr(budget({ratio: 0.15}), quantized({keyBits: 5, valueBits: 4}));
  return {
    policyFor: (depth, depths, model) =>
      policies[bandOf(depth, depths, shares)] ?? byDefault(depth, depths, model),
    toJSON: () => ({
      plan: 'bands',
      ...Object.fromEntries(Object.entries(policies).map(([band, policy]) => [band, specOf(policy)])),
      ...(rest.shares && {shares}),
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
