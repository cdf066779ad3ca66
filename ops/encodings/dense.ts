import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast} from '../../base/options.js';
import type {TokenEncodingKind} from './kind.js';

/** Plain float32 numbers: `data [batch, kvHeads, tokens, dim]`. */
export interface DenseEncoding {
  readonly kind: 'dense';
  readonly dim: number;
  readonly data: tf.Tensor4D;
}

export interface DenseLayout {
  readonly kind: 'dense';
  readonly dim: number;
}

export const denseKind: TokenEncodingKind<DenseEncoding, DenseLayout> = {
  kind: 'dense',
  schema: v.strictObject({kind: v.literal('dense'), dim: atLeast(1)}),
  layout: ({kind, dim}) => ({kind, dim}),
  make: ({kind, dim}, tensor) => ({
    kind,
    dim,
    data: tensor('data', {dtype: 'float32', columns: dim, tokensPerRow: 1}),
  }),
  tensors: ({data}) => ({data}),
  capacity: ({data}) => data.shape[2],
  data: ({data}) => data,
  params: () => undefined,
  decodeReference: (data, _params, _layout, from, count) =>
    tf.slice(data, [0, 0, from, 0], [-1, -1, count, -1]),
  wasm: {kind: 0, layout: () => 0, groupSize: () => 0},
  wgsl: {
    unitsOfRow: ({dim}) => dim,
    functions: () => '',
    decodeUnit: ({dim}, row, {data}, store) => store('unit', `f32(${data}[${row} * ${dim} + unit])`),
  },
};
