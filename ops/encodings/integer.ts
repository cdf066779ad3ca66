import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {float16Bits, float16Values} from '../../base/files/float_formats.js';
import {atLeast, oneOf} from '../../base/options.js';
import {hostNumbers} from '../host_numbers.js';
import {
  type IntegerLayout,
  groupsOfRow,
  planesOf,
  tokensOfGroup,
  wordsOfPlane,
  wordsOfRow,
} from './integer_layout.js';
import type {TokenEncodingKind, WgslNames} from './kind.js';

export {
  type IntegerBits,
  type IntegerLayout,
  groupsOfRow,
  planesOf,
  tokensOfGroup,
  wordsOfPlane,
  wordsOfRow,
} from './integer_layout.js';

/**
 * Integer codes of 2, 3, 4, 5, 6 or 8 bits with a scale and a zero point per group: `x ~ (code + zero) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, words]`: a row consists of *planes* of 8, 4, 2 or 1 bits, the upper bits of all codes first:
 * 3 bits are planes of 2 and 1, 5 of 4 and 1, 6 of 4 and 2; 8, 4 and 2 bits are one plane. A plane of p bits takes ceil(dim * p / 32)
 * words; each holds 32 / p consecutive channels, channel e of a word at bits `p * e`.
 *
 * `params` int32, one word per group: in the upper half the scale, bits 15 to 30 of a float32 (its exponent and 8 bits of its mantissa);
 * in the lower half the zero point as float16, a multiple of 1/256. A group is `groupSize` consecutive tokens of one channel
 * (`groupAxis: 'channel'`, params `[batch, kvHeads, tokens / groupSize, dim]`) or `groupSize` consecutive channels of one token
 * (`groupAxis: 'token'`, params `[batch, kvHeads, tokens, ceil(dim / groupSize)]`).
 */
export interface IntegerEncoding extends IntegerLayout {
  readonly kind: 'integer';
  readonly codes: tf.Tensor4D;
  readonly params: tf.Tensor4D;
}

/** Bits that codes may have. */
export const integerBits = oneOf(8, 6, 5, 4, 3, 2);

type KindedLayout = IntegerLayout & {readonly kind: 'integer'};

export const integerKind: TokenEncodingKind<IntegerEncoding, KindedLayout> = {
  kind: 'integer',
  schema: v.strictObject({
    kind: v.literal('integer'),
    dim: atLeast(1),
    bits: integerBits,
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
  wgsl: {unitsOfRow, functions: () => integerFunctions, decodeUnit: wgslOfUnit},
};

/** Words of the upper plane, which shaders decode one at a time. */
function unitsOfRow({dim, bits}: IntegerLayout): number {
  return wordsOfPlane(dim, planesOf(bits)[0]!.bits);
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
  bits32.setInt32(0, (params >>> 1) & 0x7fff8000);
  return bits32.getFloat32(0);
}

export const zeroOf = (params: number): number => float16Values()[params & 0xffff]!;

/** A group's word. The scale is a float32 whose lowest 15 bits are 0; the zero point is a number of float16. */
export function paramsOf(scale: number, zero: number): number {
  bits32.setFloat32(0, scale);
  return ((bits32.getInt32(0) << 1) & 0xffff0000) | (zero === 0 ? 0 : float16Bits(zero));
}

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
  const planes = planesOf(bits);
  const out = new Float32Array(batch * heads * count * dim);
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = from; token < from + count; token++) {
      for (let channel = 0; channel < dim; channel++) {
        let code = 0;
        let first = (head * rows + token) * rowWords;
        for (const plane of planes) {
          const bit = channel * plane.bits;
          const part = (codes[first + (bit >> 5)]! >>> (bit & 31)) & (2 ** plane.bits - 1);
          code |= part << plane.shift;
          first += wordsOfPlane(dim, plane.bits);
        }
        const group = params[groupIndex(layout, paramRows, head, token, channel)]!;
        out[at++] = (code + zeroOf(group)) * scaleOf(group);
      }
    }
  }
  return tf.tensor4d(out, [batch, heads, count, dim]);
}

/** WGSL of a group's word: see `IntegerEncoding`. */
export const integerFunctions = `
    fn integerScale(group : u32) -> f32 { return bitcast<f32>((group >> 1u) & 0x7fff8000u); }
    fn integerZero(group : u32) -> f32 { return unpack2x16float(group).x; }
`;

/** A unit is a word of the upper plane; the other plane has the rest of its codes in one word, too. */
function wgslOfUnit(
  layout: IntegerLayout,
  row: string,
  {data, params, paramRows}: WgslNames,
  store: (channel: string, number: string) => string,
): string {
  const {dim, bits, groupAxis, groupSize} = layout;
  const [upper, lower] = planesOf(bits);
  const perWord = 32 / upper!.bits;
  const group =
    groupAxis === 'channel'
      ? `(head * ${paramRows} + token / ${groupSize}) * ${dim} + channel`
      : `(head * ${paramRows} + token) * ${Math.ceil(dim / groupSize)} + channel / ${groupSize}`;
  const first = `${row} * ${wordsOfRow(layout)}`;
  const firstBit = lower && `unit * ${perWord * lower.bits}`;
  const upperCode = `(word >> u32(${upper!.bits} * e)) & ${2 ** upper!.bits - 1}u`;
  return `
        let word = bitcast<u32>(${data}[${first} + unit]);${
          lower
            ? `
        let rest = bitcast<u32>(${data}[${first} + ${unitsOfRow(layout)} + ${firstBit} / 32]) >> u32(${firstBit} % 32);`
            : ''
        }
        for (var e = 0; e < ${perWord}; e++) {
          let channel = unit * ${perWord} + e;
          if (channel < ${dim}) {
            let code = ${
              lower
                ? `((${upperCode}) << ${lower.bits}u) | ((rest >> u32(${lower.bits} * e)) & ${2 ** lower.bits - 1}u)`
                : upperCode
            };
            let group = bitcast<u32>(${params}[${group}]);
            ${store('channel', '(f32(code) + integerZero(group)) * integerScale(group)')}
          }
        }`;
}
