import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory} from '../../base/options.js';
import {encodeFloat8} from '../../ops/float8/index.js';
import type {Codec} from '../contract.js';

export interface Float8Options {
  /**
   * `'e4m3'`: 3 mantissa bits, relative error at most 2^-4. `'e5m2'`: 2 mantissa bits, relative error at most 2^-3, wider range.
   * Default `'e4m3'`.
   */
  readonly format?: 'e4m3' | 'e5m2';
}

export const float8Entries = {
  format: v.optional(v.picklist(['e4m3', 'e5m2'], 'expected "e4m3" or "e5m2"'), 'e4m3'),
};

/** 8-bit floating-point numbers with one scale per token and head (Micikevicius et al., 2022, arXiv 2209.05433). */
export const float8: Factory<Float8Options, Codec> = defineFactory('float8', float8Entries, options => {
  const {format} = options;
  // half the mantissa spacing, relative; half the smallest subnormal for numbers far below the token's largest
  const [relative, smallest] = format === 'e4m3' ? [2 ** -4, 2 ** -10 / 448] : [2 ** -3, 2 ** -17 / 57344];
  return {
    name: 'float8',
    options,
    blockTokens: 1,
    encode: x => encodeFloat8(x, {format}),
    errorBound: x =>
      tf.tidy(() => tf.add(tf.mul(tf.abs(x), relative), tf.mul(tf.max(tf.abs(x), 3, true), smallest))),
  };
});
