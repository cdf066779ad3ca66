import * as tf from '@tensorflow/tfjs';
import {shown} from '../base/errors.js';

/** Callers in plain JavaScript may give anything. */
export const isTensor = (given: unknown): boolean => given instanceof tf.Tensor;

/** What was given for a tensor, as an error shows it. */
export const tensorShown = (given: tf.Tensor): string =>
  isTensor(given)
    ? `${given.isDisposed ? 'a disposed ' : ''}${given.dtype} [${given.shape.join(', ')}]`
    : shown(given);
