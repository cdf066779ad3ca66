import * as tf from '@tensorflow/tfjs';
import {decodeFloat8Reference} from '../float8/reference.js';
import type {TokenLayout} from './encoding.js';
import {dequantizeReference} from '../integer/reference.js';

/** Tokens `from .. from + count` of an encoding of single tokens, dense: float32 `[batch, kvHeads, count, dim]`. */
export function readTokensReference(
  data: tf.Tensor,
  params: tf.Tensor | undefined,
  layout: TokenLayout,
  from: number,
  count: number,
): tf.Tensor {
  switch (layout.kind) {
    case 'dense':
      return tf.slice(data, [0, 0, from, 0], [-1, -1, count, -1]);
    case 'integer':
      return dequantizeReference({codes: data, params: params!}, {...layout, from, count});
    case 'float8':
      return decodeFloat8Reference({codes: data, scales: params!}, {...layout, from, count});
  }
}
