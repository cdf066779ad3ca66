import * as tf from '@tensorflow/tfjs';
import {float8Formats, wordsOfRow, type Float8Format, type Float8Layout} from '../encodings/float8.js';
import {hostNumbers, roundToEven} from '../host_numbers.js';

export interface EncodeFloat8Options {
  readonly format: Float8Layout['format'];
}

// As for integers: packed words need exact 32-bit integers, which tfjs' own ops have on cpu only. Plain loops.

export function float8ScalesReference({x}: {x: tf.Tensor4D}, {format}: EncodeFloat8Options): tf.Tensor4D {
  return tf.div(tf.max(tf.abs(x), 3, true), float8Formats[format].largest);
}

export function float8CodesReference(
  inputs: {x: tf.Tensor4D; scales: tf.Tensor4D},
  {format}: EncodeFloat8Options,
): tf.Tensor4D {
  const [batch, heads, tokens, dim] = inputs.x.shape;
  const numbers = hostNumbers(inputs.x);
  const scales = hostNumbers(inputs.scales);
  const rowWords = wordsOfRow({dim});
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
