import * as v from 'valibot';
import {integer} from '../codecs/integer.js';
import {atLeast, checkOptions, oneOf} from '../../base/options.js';
import type {Policy} from '../policy.js';
import {seal, sealable} from '../past/segments.js';

const axis = v.picklist(['channel', 'token'], 'expected "channel" or "token"');
const flag = v.boolean('expected true or false');
const schema = v.strictObject({
  bits: v.optional(oneOf(8, 4, 2), 8),
  keyBits: v.optional(v.nullable(oneOf(8, 4, 2)), null),
  valueBits: v.optional(v.nullable(oneOf(8, 4, 2)), null),
  keyAxis: v.optional(axis, 'channel'),
  valueAxis: v.optional(axis, 'token'),
  groupSize: v.optional(atLeast(1), 64),
  residual: v.optional(atLeast(0), 32),
  symmetric: v.optional(flag, false),
  center: v.optional(flag, false),
  rotate: v.optional(flag, false),
});

export type QuantizedOptions = v.InferInput<typeof schema>;

/**
 * Every token but the last few as integer codes (KIVI, Liu et al., 2024, arXiv 2402.02750): keys per channel over groups
 * of tokens, values per token over groups of channels. The last `residual` tokens stay exact, and those that wait for a
 * group to fill (or, where groups are small, for 16 tokens to move together). Each token is encoded once.
 *
 * `keyBits` and `valueBits` override `bits` for one side (keys are the sensitive one); `keyAxis` and `valueAxis` choose
 * the groups of each; `center` and `rotate` are those of the `integer` codec.
 */
export function quantized(options: QuantizedOptions = {}): Policy {
  const checked = checkOptions('quantized', schema, options);
  const {bits, keyBits, valueBits, keyAxis, valueAxis, residual, ...rest} = checked;
  const codecs = {
    keys: integer({...rest, bits: keyBits ?? bits, groupAxis: keyAxis}),
    values: integer({...rest, bits: valueBits ?? bits, groupAxis: valueAxis}),
  };
  return {
    name: 'quantized',
    options: checked,
    compress: (past, context) => seal(past, sealable(past.recent.tokens, residual, codecs), codecs, context),
  };
}
