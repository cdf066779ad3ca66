import * as v from 'valibot';
import {float8 as float8Codec} from '../codecs/float8.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {Policy} from '../policy.js';
import {seal, sealable} from '../past/segments.js';

const schema = v.strictObject({
  format: v.optional(v.picklist(['e4m3', 'e5m2'], 'expected "e4m3" or "e5m2"'), 'e4m3'),
  residual: v.optional(atLeast(0), 32),
});

export type Float8PolicyOptions = v.InferInput<typeof schema>;

/**
 * Every token but the last few as 8-bit floating point numbers (Micikevicius et al., 2022, arXiv 2209.05433), each token
 * of each head with a scale of its own. The last `residual` tokens stay exact, and those that wait until 16 move together.
 */
export function float8(options: Float8PolicyOptions = {}): Policy {
  const checked = checkOptions('float8', schema, options);
  const codec = float8Codec({format: checked.format});
  const codecs = {keys: codec, values: codec};
  return {
    name: 'float8',
    options: checked,
    compress: (past, context) =>
      seal(past, sealable(past.recent.tokens, checked.residual, codecs), codecs, context),
  };
}
