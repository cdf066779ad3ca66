import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast} from '../../base/options.js';
import {hostNumbers} from '../host_numbers.js';
import type {TokenEncodingKind} from './kind.js';

/**
 * `e4m3`: three bits of mantissa, largest number 448, no infinity, NaN is 0x7f and 0xff. `e5m2`: two bits of mantissa,
 * largest number 57344, infinities and NaN as in IEEE 754.
 */
export interface Float8Layout {
  readonly dim: number;
  readonly format: 'e4m3' | 'e5m2';
}

/**
 * Eight-bit floating point numbers (Micikevicius et al., 2022, arXiv 2209.05433) with one scale per token:
 * `x ~ decode(code) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim / 4)]`: four codes per word, channel e of a word at bits `8 * e`. `scales`
 * float32 `[batch, kvHeads, tokens, 1]`: the token's largest magnitude divided by the format's largest number.
 */
export interface Float8Encoding extends Float8Layout {
  readonly kind: 'float8';
  readonly codes: tf.Tensor4D;
  readonly scales: tf.Tensor4D;
}

/** The constants of a format. A normal number is `2^(exponent - bias) * (1 + mantissa / 2^mantissaBits)`. */
export interface Float8Format {
  readonly mantissaBits: number;
  readonly bias: number;
  readonly largest: number;
  /** The code of the largest number. */
  readonly largestCode: number;
  /** The format's number in ops/assembly/float8.ts. */
  readonly wasm: number;
}

export const float8Formats: {readonly [Name in Float8Layout['format']]: Float8Format} = {
  e4m3: {mantissaBits: 3, bias: 7, largest: 448, largestCode: 0x7e, wasm: 0},
  e5m2: {mantissaBits: 2, bias: 15, largest: 57344, largestCode: 0x7b, wasm: 1},
};

/** Words of one row of codes. */
export function wordsOfRow({dim}: {readonly dim: number}): number {
  return Math.ceil(dim / 4);
}

export const float8Kind: TokenEncodingKind<Float8Encoding, Float8Layout & {readonly kind: 'float8'}> = {
  kind: 'float8',
  schema: v.strictObject({
    kind: v.literal('float8'),
    dim: atLeast(1),
    format: v.picklist(['e4m3', 'e5m2']),
  }),
  layout: ({kind, dim, format}) => ({kind, dim, format}),
  make: (layout, tensor) => ({
    ...layout,
    codes: tensor('codes', {dtype: 'int32', columns: wordsOfRow(layout), tokensPerRow: 1}),
    scales: tensor('scales', {dtype: 'float32', columns: 1, tokensPerRow: 1}),
  }),
  tensors: ({codes, scales}) => ({codes, scales}),
  capacity: ({codes, scales}) => Math.min(codes.shape[2], scales.shape[2]),
  data: ({codes}) => codes,
  params: ({scales}) => scales,
  decodeReference: (codes, scales, layout, from, count) => decodeOnHost(codes, scales!, layout, from, count),
  wasm: {kind: 2, layout: ({format}) => float8Formats[format].wasm, groupSize: () => 0},
  wgsl: {
    unitsOfRow: wordsOfRow,
    functions: ({format}) => wgslFunction(format),
    decodeUnit: ({dim, format}, row, {data, params, paramRows}, store) => `
        let word = bitcast<u32>(${data}[${row} * ${wordsOfRow({dim})} + unit]);
        let scale = f32(${params}[head * ${paramRows} + token]);
        for (var e = 0; e < 4; e++) {
          let channel = unit * 4 + e;
          if (channel < ${dim}) {
            let code = (word >> u32(8 * e)) & 0xffu;
            ${store('channel', `${format}(code) * scale`)}
          }
        }`,
  },
};

/** In a loop over the numbers, as for integer codes. */
function decodeOnHost(
  codeTensor: tf.Tensor4D,
  scaleTensor: tf.Tensor4D,
  {dim, format}: Float8Layout,
  from: number,
  count: number,
): tf.Tensor4D {
  const [batch, heads, rows, rowWords] = codeTensor.shape;
  const codes = hostNumbers(codeTensor);
  const scales = hostNumbers(scaleTensor);
  const numbers = Float32Array.from({length: 256}, (_, code) => numberOf(code, format));
  const scaleRows = scaleTensor.shape[2];
  const out = new Float32Array(batch * heads * count * dim);
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = from; token < from + count; token++) {
      const scale = scales[head * scaleRows + token]!;
      for (let channel = 0; channel < dim; channel++) {
        const word = codes[(head * rows + token) * rowWords + (channel >> 2)]!;
        out[at++] = numbers[(word >>> (8 * (channel & 3))) & 0xff]! * scale;
      }
    }
  }
  return tf.tensor4d(out, [batch, heads, count, dim]);
}

function numberOf(code: number, format: Float8Layout['format']): number {
  const {mantissaBits, bias} = float8Formats[format];
  const field = (code & 0x7f) >> mantissaBits;
  const mantissa = (code & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const sign = code & 0x80 ? -1 : 1;
  if (format === 'e4m3' && (code & 0x7f) === 0x7f) return NaN;
  if (format === 'e5m2' && field === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (field === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (field - bias));
}

/** WGSL of a code's number: its bits moved to where float32 has them; subnormal numbers by a product. */
function wgslFunction(format: Float8Layout['format']): string {
  const {mantissaBits, bias} = float8Formats[format];
  const isNan = format === 'e4m3' ? '(code & 0x7fu) == 0x7fu' : 'false';
  const isSpecial = format === 'e5m2' ? 'field == 31u' : 'false';
  return `
    fn ${format}(code : u32) -> f32 {
      let sign = (code & 0x80u) << 24u;
      let field = (code & 0x7fu) >> ${mantissaBits}u;
      let mantissa = code & ${2 ** mantissaBits - 1}u;
      if (field == 0u) {
        let magnitude = f32(mantissa) * ${2 ** (1 - bias - mantissaBits)};
        return select(magnitude, -magnitude, sign != 0u);
      }
      let exponent = select(field + ${127 - bias}u, 255u, ${isSpecial});
      let number = sign | (exponent << 23u) | (mantissa << ${23 - mantissaBits}u);
      return bitcast<f32>(select(number, 0x7fc00000u, ${isNan}));
    }
`;
}
