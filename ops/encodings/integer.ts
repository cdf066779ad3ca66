import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, oneOf} from '../../base/options.js';
import {hostNumbers} from '../host_numbers.js';
import type {TokenEncodingKind, WgslNames} from './kind.js';

/** How integer codes are grouped and packed. */
export interface IntegerLayout {
  readonly dim: number;
  readonly bits: 8 | 4 | 2;
  /** Whether a group is consecutive tokens of one channel, or consecutive channels of one token. */
  readonly groupAxis: 'channel' | 'token';
  /** Numbers per group. */
  readonly groupSize: number;
}

/**
 * Integer codes of 8, 4 or 2 bits with a scale and a zero point per group: `x ~ (code + zero) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim * bits / 32)]`: each word holds 32 / bits consecutive channels,
 * channel e of a word at bits `bits * e`. `params` int32, one word per group: the scale as bfloat16 in the upper half, the
 * zero point as a signed integer in the lower half. A group is `groupSize` consecutive tokens of one channel
 * (`groupAxis: 'channel'`, params `[batch, kvHeads, tokens / groupSize, dim]`) or `groupSize` consecutive channels of one
 * token (`groupAxis: 'token'`, params `[batch, kvHeads, tokens, ceil(dim / groupSize)]`).
 */
export interface IntegerEncoding extends IntegerLayout {
  readonly kind: 'integer';
  readonly codes: tf.Tensor4D;
  readonly params: tf.Tensor4D;
}

type KindedLayout = IntegerLayout & {readonly kind: 'integer'};

export const integerKind: TokenEncodingKind<IntegerEncoding, KindedLayout> = {
  kind: 'integer',
  schema: v.strictObject({
    kind: v.literal('integer'),
    dim: atLeast(1),
    bits: oneOf(8, 4, 2),
    groupAxis: v.picklist(['channel', 'token']),
    groupSize: atLeast(1),
  }),
  layout: ({kind, dim, bits, groupAxis, groupSize}) => ({kind, dim, bits, groupAxis, groupSize}),
  make: (layout, tensor) => ({
    ...layout,
    codes: tensor('codes', {dtype: 'int32', columns: wordsOfRow(layout), tokensPerRow: 1}),
    params: tensor('params', {
      dtype: 'int32',
      columns: groupsOfRow(layout),
      tokensPerRow: tokensOfGroup(layout),
    }),
  }),
  tensors: ({codes, params}) => ({codes, params}),
  capacity: encoding => Math.min(encoding.codes.shape[2], encoding.params.shape[2] * tokensOfGroup(encoding)),
  data: ({codes}) => codes,
  params: ({params}) => params,
  decodeReference: (data, params, layout, from, count) =>
    dequantizeOnHost(data, params!, layout, from, count),
  wasm: {
    kind: 1,
    layout: ({bits, groupAxis}) => bits | ((groupAxis === 'channel' ? 0 : 1) << 8),
    groupSize: ({groupSize}) => groupSize,
  },
  wgsl: {unitsOfRow: wordsOfRow, functions: () => integerFunctions, decodeUnit: wgslOfUnit},
};

/** Words of one row of codes. */
export function wordsOfRow({dim, bits}: Pick<IntegerLayout, 'dim' | 'bits'>): number {
  return Math.ceil((dim * bits) / 32);
}

/** Groups of one row of params. */
export function groupsOfRow({dim, groupAxis, groupSize}: Omit<IntegerLayout, 'bits'>): number {
  return groupAxis === 'channel' ? dim : Math.ceil(dim / groupSize);
}

/** Tokens that share a row of params. */
export function tokensOfGroup({
  groupAxis,
  groupSize,
}: Pick<IntegerLayout, 'groupAxis' | 'groupSize'>): number {
  return groupAxis === 'channel' ? groupSize : 1;
}

/** The index of the parameters of one channel of one token of one head. */
export function groupIndex(
  layout: IntegerLayout,
  paramRows: number,
  head: number,
  token: number,
  channel: number,
): number {
  const row = head * paramRows + Math.floor(token / tokensOfGroup(layout));
  const column = layout.groupAxis === 'channel' ? channel : Math.floor(channel / layout.groupSize);
  return row * groupsOfRow(layout) + column;
}

const bits32 = new DataView(new ArrayBuffer(4));

export function scaleOf(params: number): number {
  bits32.setInt32(0, params & 0xffff0000);
  return bits32.getFloat32(0);
}

export const zeroOf = (params: number): number => (params << 16) >> 16;

/** In a loop over the numbers: packed words need exact 32-bit integers, which tfjs' own ops have on cpu only. */
function dequantizeOnHost(
  data: tf.Tensor4D,
  paramTensor: tf.Tensor4D,
  layout: IntegerLayout,
  from: number,
  count: number,
): tf.Tensor4D {
  const {dim, bits} = layout;
  const [batch, heads, rows, rowWords] = data.shape;
  const codes = hostNumbers(data);
  const params = hostNumbers(paramTensor);
  const paramRows = paramTensor.shape[2];
  const out = new Float32Array(batch * heads * count * dim);
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = from; token < from + count; token++) {
      for (let channel = 0; channel < dim; channel++) {
        const word = codes[(head * rows + token) * rowWords + ((channel * bits) >> 5)]!;
        const code = (word >>> ((channel * bits) & 31)) & (2 ** bits - 1);
        const group = params[groupIndex(layout, paramRows, head, token, channel)]!;
        out[at++] = Math.fround(code + zeroOf(group)) * scaleOf(group);
      }
    }
  }
  return tf.tensor4d(out, [batch, heads, count, dim]);
}

/** WGSL of a group's word: its scale is the upper half as bfloat16, its zero point the lower half. */
export const integerFunctions = `
    fn integerScale(group : u32) -> f32 { return bitcast<f32>(group & 0xffff0000u); }
    fn integerZero(group : u32) -> i32 { return bitcast<i32>(group << 16u) >> 16u; }
`;

function wgslOfUnit(
  {dim, bits, groupAxis, groupSize}: IntegerLayout,
  at: string,
  {data, params, paramRows}: WgslNames,
  store: (channel: string, number: string) => string,
): string {
  const perWord = 32 / bits;
  const group =
    groupAxis === 'channel'
      ? `(head * ${paramRows} + token / ${groupSize}) * ${dim} + channel`
      : `(head * ${paramRows} + token) * ${Math.ceil(dim / groupSize)} + channel / ${groupSize}`;
  return `
        let word = bitcast<u32>(${data}[${at}]);
        for (var e = 0; e < ${perWord}; e++) {
          let channel = unit * ${perWord} + e;
          if (channel < ${dim}) {
            let code = i32((word >> u32(${bits} * e)) & ${2 ** bits - 1}u);
            let group = bitcast<u32>(${params}[${group}]);
            ${store('channel', 'f32(code + integerZero(group)) * integerScale(group)')}
          }
        }`;
}
