import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Encoding, type TokenEncoding, type TokenLayout, layoutOf} from '../../ops/encodings/encoding.js';
import {atLeast, oneOf} from '../../base/options.js';

/** An encoding without its tensors: what JSON says of it. */
export type EncodingLayout = TokenLayout | LowRankLayout;

export interface LowRankLayout {
  readonly kind: 'lowRank';
  readonly dim: number;
  readonly rank: number;
  readonly latents: TokenLayout;
  /** Whether there is one. */
  readonly mean: boolean;
  readonly rotate: boolean;
}

const dim = atLeast(1);
const tokenLayouts = [
  v.strictObject({kind: v.literal('dense'), dim}),
  v.strictObject({
    kind: v.literal('integer'),
    dim,
    bits: oneOf(8, 4, 2),
    groupAxis: v.picklist(['channel', 'token']),
    groupSize: atLeast(1),
  }),
  v.strictObject({kind: v.literal('float8'), dim, format: v.picklist(['e4m3', 'e5m2'])}),
] as const;

export const encodingLayoutSchema = v.variant('kind', [
  ...tokenLayouts,
  v.strictObject({
    kind: v.literal('lowRank'),
    dim,
    rank: atLeast(1),
    latents: v.variant('kind', tokenLayouts),
    mean: v.boolean(),
    rotate: v.boolean(),
  }),
]);

export function encodingLayout(encoding: Encoding): EncodingLayout {
  if (encoding.kind !== 'lowRank') return layoutOf(encoding);
  const {kind, dim, rank, latents, mean, rotate = false} = encoding;
  return {kind, dim, rank, latents: layoutOf(latents), mean: mean !== undefined, rotate};
}

/** A tensor as it must be: float32 or int32 `[batch, kvHeads, rows, columns]`. */
export interface TensorSpec {
  readonly dtype: 'float32' | 'int32';
  readonly rows: number;
  readonly columns: number;
}

/** The encoding of that layout over so many tokens; `tensor` gives its tensors by the names that `tensorsOf` has for them. */
export function encodingOfLayout(
  layout: EncodingLayout,
  tokens: number,
  tensor: (name: string, spec: TensorSpec) => tf.Tensor4D,
): Encoding {
  if (layout.kind !== 'lowRank') return tokenEncoding(layout, tokens, tensor);
  const {kind, dim, rank, mean, rotate} = layout;
  return {
    kind,
    dim,
    rank,
    latents: tokenEncoding(layout.latents, tokens, (name, spec) => tensor(`latents.${name}`, spec)),
    basis: tensor('basis', {dtype: 'float32', rows: rank, columns: dim}),
    ...(mean && {mean: tensor('mean', {dtype: 'float32', rows: 1, columns: dim})}),
    rotate,
  };
}

function tokenEncoding(
  layout: TokenLayout,
  tokens: number,
  tensor: (name: string, spec: TensorSpec) => tf.Tensor4D,
): TokenEncoding {
  const {dim} = layout;
  switch (layout.kind) {
    case 'dense':
      return {...layout, data: tensor('data', {dtype: 'float32', rows: tokens, columns: dim})};
    case 'integer': {
      const {bits, groupAxis, groupSize} = layout;
      const groups =
        groupAxis === 'channel'
          ? {rows: tokens / groupSize, columns: dim}
          : {rows: tokens, columns: Math.ceil(dim / groupSize)};
      return {
        ...layout,
        codes: tensor('codes', {dtype: 'int32', rows: tokens, columns: Math.ceil((dim * bits) / 32)}),
        params: tensor('params', {dtype: 'int32', ...groups}),
      };
    }
    case 'float8':
      return {
        ...layout,
        codes: tensor('codes', {dtype: 'int32', rows: tokens, columns: Math.ceil(dim / 4)}),
        scales: tensor('scales', {dtype: 'float32', rows: tokens, columns: 1}),
      };
  }
}
