import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {decodeFloat8} from '../float8/index.js';
import {capacityOf, type Form} from './encoding.js';
import {dequantize} from '../integer/index.js';

/**
 * Decodes tokens `from .. from + count` of any form. For tests, inspection and conversion: attention never decodes more
 * than a tile. Keys stored before their rotation come back unrotated.
 *
 * @returns float32 `[batch, kvHeads, count, dim]`.
 * @throws InvalidArgumentError where the form does not hold these tokens.
 */
export function decodeForm(form: Form, from: number, count: number): tf.Tensor4D {
  const capacity = capacityOf(form);
  if (
    !Number.isInteger(from) ||
    !Number.isInteger(count) ||
    from < 0 ||
    count < 0 ||
    from + count > capacity
  ) {
    throw new InvalidArgumentError(
      `from = ${from} and count = ${count}; expected integers from 0 on that end within the form's ${capacity} tokens.`,
    );
  }
  switch (form.kind) {
    case 'dense':
      return tf.slice(form.data, [0, 0, from, 0], [-1, -1, count, -1]);
    case 'integer':
      return dequantize(form, from, count);
    case 'float8':
      return decodeFloat8(form, from, count);
    case 'lowRank':
      return tf.tidy(() => {
        const rebuilt: tf.Tensor4D = tf.matMul(decodeForm(form.latents, from, count), form.basis);
        return form.mean === undefined ? rebuilt : tf.add(rebuilt, form.mean);
      });
  }
}
