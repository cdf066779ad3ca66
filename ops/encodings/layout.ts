import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {encodingKinds, kindOf, type Encoding, type EncodingLayout} from './index.js';

// Encodings to and from JSON and named tensors.

/** Checks a layout that comes from a file. */
export const encodingLayoutSchema = v.variant(
  'kind',
  Object.values(encodingKinds).map(({schema}) => schema),
);

/** A tensor as it must be: `[batch, kvHeads, rows, columns]`. */
export interface TensorSpec {
  readonly dtype: 'float32' | 'int32';
  readonly rows: number;
  readonly columns: number;
}

/** The encoding of a layout over `tokens` tokens; `tensor` gives its tensors by the names that `tensorsOf` has for them. */
export function encodingOfLayout(
  layout: EncodingLayout,
  tokens: number,
  tensor: (name: string, spec: TensorSpec) => tf.Tensor4D,
): Encoding {
  return kindOf(layout).make(layout, (name, {dtype, columns, tokensPerRow, sharedRows}) =>
    tensor(name, {dtype, columns, rows: sharedRows ?? tokens / tokensPerRow}),
  );
}
