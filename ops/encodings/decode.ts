import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {decodeFloat8} from '../float8/index.js';
import {capacityOf, type Encoding} from './encoding.js';
import {dequantize} from '../integer/index.js';

/**
 * Decodes tokens `from .. from + count` of any encoding. For tests, inspection and conversion: attention never decodes more
 * than a tile. Keys stored before their rotation come back unrotated.
 *
 * @returns float32 `[batch, kvHeads, count, dim]`.
 * @throws InvalidArgumentError where the encoding does not hold these tokens.
 */
export function decodeEncoding(encoding: Encoding, from: number, count: number): tf.Tensor4D {
  const capacity = capacityOf(encoding);
  if (
    !Number.isInteger(from) ||
    !Number.isInteger(count) ||
    from < 0 ||
    count < 0 ||
    from + count > capacity
  ) {
    throw new InvalidArgumentError(
      `from = ${from} and count = ${count}; expected integers from 0 on that end within the encoding's ${capacity} tokens.`,
    );
  }
  switch (encoding.kind) {
    case 'dense':
      return tf.slice(encoding.data, [0, 0, from, 0], [-1, -1, count, -1]);
    case 'integer':
      return dequantize(encoding, from, count);
    case 'float8':
      return decodeFloat8(encoding, from, count);
    case 'lowRank':
      return tf.tidy(() => {
        const rebuilt: tf.Tensor4D = tf.matMul(decodeEncoding(encoding.latents, from, count), encoding.basis);
        return encoding.mean === undefined ? rebuilt : tf.add(rebuilt, encoding.mean);
      });
  }
}
