import * as tf from '@tensorflow/tfjs';
import type {Codec} from '../codec.js';
import {dense as denseForm} from '../segments.js';

/** Float32 numbers as they are: lossless, 4 bytes each. */
export function dense(): Codec {
  return {
    name: 'dense',
    options: {},
    blockTokens: 1,
    encode: x => denseForm(tf.clone(x)),
    errorBound: () => tf.scalar(0),
  };
}
