import * as tf from '@tensorflow/tfjs';
import {float16Values, toFloat16} from '../../base/files/float_formats.js';
import {
  type PackedFormat,
  inputsOfRecord,
  packedFormats,
  recordBytes,
  recordsShape,
} from '../../ops/weights/formats.js';
import type {PackedMatrix} from '../../ops/weights/matrix.js';
import {writeRow} from '../../ops/weights/records.js';
import {randomFloats} from './random.js';

/**
 * A matrix of random codes, scales and minima, and its weights `[inputs, outputs]` computed from them. `magnitudes` are |scale code| +
 * |minimum|, by which errors of rounding are bounded.
 */
export function packedMatrix(
  format: PackedFormat,
  inputs: number,
  outputs: number,
  seed: number,
): {matrix: PackedMatrix; values: Float32Array; magnitudes: Float32Array} {
  const [groups, blocks, words] = recordsShape(format, inputs, outputs);
  const bytes = new Uint8Array(4 * groups * blocks * words);
  const values = new Float32Array(inputs * outputs);
  const magnitudes = new Float32Array(inputs * outputs);
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const numbers = randomFloats(seed, outputs * blocks * inputsOfRecord);
  for (let output = 0; output < outputs; output++) {
    const own = numbers.subarray(output * blocks * inputsOfRecord, (output + 1) * blocks * inputsOfRecord);
    if (bits === 16) {
      const halves = format === 'float16' ? halvesOf(own) : bfloat16sOf(own);
      halves.fill(0, inputs);
      writeRow(bytes, format, blocks, output, halves);
      for (let i = 0; i < inputs; i++) {
        values[i * outputs + output] = valueOf(format, halves[i]!);
        magnitudes[i * outputs + output] = Math.abs(valueOf(format, halves[i]!));
      }
      continue;
    }
    const [least, most] = bits === 4 ? [0, 15] : [-128, 127];
    const codes = Int8Array.from(own, x => Math.max(least, Math.min(most, Math.round(x * 40))));
    codes.fill(0, inputs); // weights beyond the matrix
    const perBlock = inputsOfRecord / groupSize;
    const scales = halvesOf(own.subarray(0, blocks * perBlock).map(x => x / 50)); // negative ones too: Q4_0 has them
    const minima = halvesOf(own.subarray(0, blocks).map(x => x / 3));
    writeRow(bytes, format, blocks, output, {codes, scales, minima: hasMinimum ? minima : undefined});
    for (let i = 0; i < inputs; i++) {
      const scale = float16Values()[scales[Math.floor(i / groupSize)]!]!;
      const minimum = hasMinimum ? float16Values()[minima[Math.floor(i / inputsOfRecord)]!]! : 0;
      values[i * outputs + output] = scale * codes[i]! + minimum;
      magnitudes[i * outputs + output] = Math.abs(scale * codes[i]!) + Math.abs(minimum);
    }
  }
  const records = tf.tensor3d(new Int32Array(bytes.buffer), [groups, blocks, words], 'int32');
  if (bytes.length !== groups * blocks * recordBytes(format)) throw new Error('words and bytes differ');
  return {matrix: {format, inputs, outputs, records}, values, magnitudes};
}

function halvesOf(numbers: Float32Array): Uint16Array {
  const halves = new Uint16Array(numbers.length);
  toFloat16(numbers, halves);
  return halves;
}

function bfloat16sOf(numbers: Float32Array): Uint16Array {
  const words = new Uint32Array(numbers.slice().buffer);
  return Uint16Array.from(words, word => word >>> 16);
}

function valueOf(format: PackedFormat, half: number): number {
  if (format === 'float16') return float16Values()[half]!;
  return new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;
}
