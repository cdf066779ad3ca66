import * as tf from '@tensorflow/tfjs';
import type {Float8Layout} from '../encodings/encoding.js';
import {hostNumbers} from '../host_numbers.js';
import {float8Formats, type Float8Format} from './formats.js';
import type {DecodeFloat8Attributes, EncodeFloat8Options} from './index.js';

// As for integers: packed words need exact 32-bit integers, which tfjs' own ops have on cpu only. Plain loops.

type Shape4 = [number, number, number, number];

export function float8ScalesReference({x}: {x: tf.Tensor}, {format}: EncodeFloat8Options): tf.Tensor {
  return tf.div(tf.max(tf.abs(x), 3, true), float8Formats[format].largest);
}

export function float8CodesReference(
  inputs: {x: tf.Tensor; scales: tf.Tensor},
  {format}: EncodeFloat8Options,
): tf.Tensor {
  const [batch, heads, tokens, dim] = inputs.x.shape as Shape4;
  const numbers = hostNumbers(inputs.x);
  const scales = hostNumbers(inputs.scales);
  const rowWords = Math.ceil(dim / 4);
  const words = new Int32Array(batch * heads * tokens * rowWords);
  for (let row = 0, at = 0; row < scales.length; row++) {
    const scale = scales[row]!;
    for (let channel = 0; channel < dim; channel++, at++) {
      const code = scale === 0 ? 0 : codeOf(Math.fround(numbers[at]! / scale), float8Formats[format]);
      const word = row * rowWords + (channel >> 2);
      words[word] = words[word]! | (code << (8 * (channel & 3)));
    }
  }
  return tf.tensor4d(words, [batch, heads, tokens, rowWords], 'int32');
}

export function decodeFloat8Reference(
  inputs: {codes: tf.Tensor; scales: tf.Tensor},
  {dim, format, from, count}: DecodeFloat8Attributes,
): tf.Tensor {
  const [batch, heads, rows, rowWords] = inputs.codes.shape as Shape4;
  const codes = hostNumbers(inputs.codes);
  const scales = hostNumbers(inputs.scales);
  const numbers = Float32Array.from({length: 256}, (_, code) => numberOf(code, format));
  const scaleRows = inputs.scales.shape[2]!;
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

/** The code of a finite number: nearest even, saturating. */
function codeOf(value: number, {mantissaBits, bias, largest, largestCode}: Float8Format): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= largest) return sign | largestCode;
  const smallestExponent = 1 - bias;
  const exponent = Math.max(smallestExponent, Math.floor(Math.log2(magnitude)));
  const steps = roundToEven(magnitude / 2 ** (exponent - mantissaBits));
  // a normal number's steps begin at 2^mantissaBits, which is exponent field 1; rounding up carries into the field
  return sign | ((exponent - smallestExponent) * 2 ** mantissaBits + steps);
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

function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
