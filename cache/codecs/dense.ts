import * as tf from '@tensorflow/tfjs';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Codec} from '../contract.js';
import {dense as denseEncoding} from '../past/segments.js';

/** Stores float32 numbers unchanged: lossless, 4 bytes per number. */
export const dense: Factory<object, Codec> = defineFactory('dense', {}, options => ({
  name: 'dense',
  options,
  blockTokens: 1,
  exact: true,
  encode: x => denseEncoding(tf.clone(x)),
  errorBound: () => tf.scalar(0),
}));
