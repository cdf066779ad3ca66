import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {encodingKinds, kindOf, type Encoding, type EncodingLayout} from './index.js';
import type {EncodingTensorSpec} from './kind.js';

// Encodings to and from JSON and named tensors.

/** Checks a layout that comes from a file. */
export const encodingLayoutSchema = v.variant(
  'kind',
  Object.values(encodingKinds).map(({schema}) => schema),
);

/** A tensor as it must be: `[batch, heads, rows, columns]`. */
export interface TensorSpec extends Pick<EncodingTensorSpec, 'dtype' | 'columns'> {
  /** The layer's key heads; 1 if heads lie side by side in a row. */
  readonly heads: number;
  readonly rows: number;
}

/**
 * The encoding of a layout over `tokens` tokens of `kvHeads` heads; `tensor` gives its tensors by the names that `tensorsOf` has
 * for them.
 */
export function encodingOfLayout(
  layout: EncodingLayout,
  kvHeads: number,
  tokens: number,
  tensor: (name: string, spec: TensorSpec) => tf.Tensor4D,
): Encoding {
  return kindOf(layout).make(layout, (name, spec) => {
    const {dtype, columns, headColumns, tokensPerRow, sharedRows} = spec;
    const heads = headColumns === undefined ? kvHeads : 1;
    return tensor(name, {dtype, heads, columns, rows: sharedRows ?? tokens / tokensPerRow});
  });
}
