import * as v from 'valibot';
import {integer} from '../codecs/integer.js';
import {atLeast, checkOptions, oneOf} from '../options.js';
import type {Policy} from '../policy.js';
import {seal, sealable} from '../segments.js';

const schema = v.strictObject({
  bits: v.optional(oneOf(8, 4, 2), 8),
  groupSize: v.optional(atLeast(1), 64),
  residual: v.optional(atLeast(0), 32),
  symmetric: v.optional(v.boolean('expected true or false'), false),
});

export type QuantizedOptions = v.InferInput<typeof schema>;

/**
 * Every token but the last few as integer codes (KIVI, Liu et al., 2024, arXiv 2402.02750): keys per channel over groups
 * of tokens, values per token over groups of channels. The last `residual` tokens, and those that do not fill a group
 * yet, stay exact. Each token is encoded once.
 */
export function quantized(options: QuantizedOptions = {}): Policy {
  const checked = checkOptions('quantized', schema, options);
  const {residual, ...layout} = checked;
  const codecs = {
    keys: integer({...layout, groupAxis: 'channel'}),
    values: integer({...layout, groupAxis: 'token'}),
  };
  return {
    name: 'quantized',
    options: checked,
    compress: (past, context) => seal(past, sealable(past.recent.tokens, residual, codecs), codecs, context),
  };
}
