import * as v from 'valibot';
import {type Factory, atLeast, flag} from '../../base/options.js';
import {integerBits, type IntegerBits} from '../../ops/encodings/integer.js';
import {groupSizes, integer} from '../codecs/integer.js';
import {codecPair} from '../codecs/pair.js';
import type {Policy} from '../contract.js';
import {
  type KeepOptions,
  type ReadOptions,
  definePolicy,
  keepEntries,
  readEntries,
  residualOption,
} from './define.js';

export interface QuantizedOptions extends KeepOptions, ReadOptions {
  /** Bits per number: 2, 3, 4, 5, 6 or 8. Default 8. */
  readonly bits?: IntegerBits;
  /** Bits of keys, which are more sensitive than values. Default: `bits`. */
  readonly keyBits?: IntegerBits | null;
  /** Bits of values. Default: `bits`. */
  readonly valueBits?: IntegerBits | null;
  /** Which numbers of the keys share a scale: tokens of one channel, or channels of one token. Default `'channel'`. */
  readonly keyAxis?: 'channel' | 'token';
  /** Which numbers of the values share a scale. Default `'token'`. */
  readonly valueAxis?: 'channel' | 'token';
  /** How many numbers share a scale and a zero point, at most 1,024: keys wait until so many tokens fill a group. Default 64. */
  readonly groupSize?: number;
  /** The fewest last tokens that stay exact. Default 0: a token is exact in its own step, and while it waits for a group to fill. */
  readonly residual?: number;
  /** Scale by the largest magnitude instead of minimum and maximum. Default false. */
  readonly symmetric?: boolean;
  /** Subtract the mean of the first stored tokens: see `integer`. Default false. */
  readonly center?: boolean;
  /** Quantise in the basis of a Hadamard matrix: see `integer`. Default false. */
  readonly rotate?: boolean;
}

const axis = v.picklist(['channel', 'token'], 'expected "channel" or "token"');
const entries = {
  bits: v.optional(integerBits, 8),
  keyBits: v.optional(v.nullable(integerBits), null),
  valueBits: v.optional(v.nullable(integerBits), null),
  keyAxis: v.optional(axis, 'channel'),
  valueAxis: v.optional(axis, 'token'),
  groupSize: v.optional(groupSizes, 64),
  residual: v.optional(atLeast(0), 0),
  symmetric: v.optional(flag, false),
  center: v.optional(flag, false),
  rotate: v.optional(flag, false),
  ...keepEntries,
  ...readEntries,
};

/**
 * Stores integer codes (KIVI, Liu et al., 2024, arXiv 2402.02750): keys with scales per channel and group of tokens, values with
 * scales per token and group of channels. The first `sinks` and the last `residual` tokens stay exact, and so do tokens that wait
 * for a group to fill (or for 16 tokens, if groups are smaller). Each token is encoded once.
 */
export const quantized: Factory<QuantizedOptions, Policy> = definePolicy('quantized', entries, checked => {
  const {sinks, residual, keep, keyBits, valueBits, keyAxis, valueAxis} = checked;
  const {groupSize, symmetric, center, rotate} = checked;
  const shared = {groupSize, symmetric, center, rotate};
  return {
    sinks,
    recent: residual,
    recentOption: residualOption,
    keep,
    store: codecPair({
      keys: integer({...shared, bits: keyBits ?? checked.bits, groupAxis: keyAxis}),
      values: integer({...shared, bits: valueBits ?? checked.bits, groupAxis: valueAxis}),
    }),
    skipValues: checked.skipValues,
  };
});
