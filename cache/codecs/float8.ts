import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {encodeFloat8} from '../../ops/float8/index.js';
import type {Codec} from '../codec.js';
import {checkOptions} from '../../base/options.js';

const schema = v.strictObject({
  format: v.optional(v.picklist(['e4m3', 'e5m2'], 'expected "e4m3" or "e5m2"'), 'e4m3'),
});

export type Float8Options = v.InferInput<typeof schema>;

/**
 * 8-bit floating point numbers with one scale a token (Micikevicius et al., 2022, arXiv 2209.05433): `e4m3` has three
 * bits of mantissa (relative error 2^-4), `e5m2` two (2^-3) and a wider range.
 */
export function float8(options: Float8Options = {}): Codec {
  const checked = checkOptions('float8', schema, options);
  const {format} = checked;
  // half the spacing of the mantissa, relative; half the smallest subnormal where numbers are tiny beside the largest
  const [relative, smallest] = format === 'e4m3' ? [2 ** -4, 2 ** -10 / 448] : [2 ** -3, 2 ** -17 / 57344];
  return {
    name: 'float8',
    options: checked,
    blockTokens: 1,
    encode: x => encodeFloat8(x, {format}),
    errorBound: x =>
      tf.tidy(() => tf.add(tf.mul(tf.abs(x), relative), tf.mul(tf.max(tf.abs(x), 3, true), smallest))),
  };
}
