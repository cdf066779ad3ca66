import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {quantize} from '../../ops/integer/index.js';
import type {Codec} from '../codec.js';
import {atLeast, checkOptions, oneOf} from '../options.js';

const schema = v.strictObject({
  bits: v.optional(oneOf(8, 4, 2), 8),
  groupAxis: v.optional(v.picklist(['channel', 'token'], 'expected "channel" or "token"'), 'token'),
  groupSize: v.optional(atLeast(1), 32),
  symmetric: v.optional(v.boolean('expected true or false'), false),
});

export type IntegerOptions = v.InferInput<typeof schema>;

/**
 * Integer codes of 8, 4 or 2 bits with a scale and a zero point per group (KIVI, Liu et al., 2024, arXiv 2402.02750).
 *
 * `groupAxis: 'channel'` groups `groupSize` consecutive tokens of one channel (KIVI's way for keys, whose outliers keep
 * to their channels), `'token'` groups consecutive channels of one token (its way for values). `symmetric` scales by the
 * largest magnitude, else by minimum and maximum. See `quantize` in ops/integer for the arithmetic.
 */
export function integer(options: IntegerOptions = {}): Codec {
  const checked = checkOptions('integer', schema, options);
  const {bits, groupAxis, groupSize, symmetric} = checked;
  return {
    name: 'integer',
    options: checked,
    blockTokens: groupAxis === 'channel' ? groupSize : 1,
    encode: x => quantize(x, {...checked, dim: x.shape[3]}),
    errorBound: x => tf.tidy(() => tf.mul(largestStep(x, bits, symmetric), 0.5)),
  };
}

/** An upper bound of the scales of all groups: scales are rounded up to bfloat16, by 2^-7 at most. */
function largestStep(x: tf.Tensor4D, bits: number, symmetric: boolean): tf.Tensor {
  const largest = tf.max(tf.abs(x));
  const range = symmetric
    ? tf.div(largest, 2 ** (bits - 1) - 1)
    : tf.maximum(tf.div(tf.sub(tf.max(x), tf.min(x)), 2 ** bits - 1), tf.div(largest, 32767));
  return tf.mul(range, 1 + 2 ** -7);
}
