import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import type {Codec, Options} from '../codec.js';
import {checkOptions} from '../../base/options.js';
import {dense as denseEncoding} from '../past/segments.js';

/** Float32 numbers as they are: lossless, 4 bytes each. */
export function dense(options: Options = {}): Codec {
  return {
    name: 'dense',
    options: checkOptions('dense', v.strictObject({}), options),
    blockTokens: 1,
    encode: x => denseEncoding(tf.clone(x)),
    errorBound: () => tf.scalar(0),
  };
}
