import {float16Bits} from '../../base/files/float_formats.js';
import {ggmlTypes} from '../../base/files/gguf_types.js';
import type {Encoding} from '../../base/files/tensor_file.js';
import {randomFloats} from './random.js';

/** Where the float16 scale of a block is, and its minimum, in bytes. */
const halvesOf: Readonly<Record<string, readonly number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  IQ4_NL: [0],
  IQ4_XS: [0],
  MXFP4: [],
  Q3_K: [108],
  TQ1_0: [52],
  TQ2_0: [64],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/** The largest code, times the largest factor of a scale. */
const reach: Readonly<Record<string, number>> = {
  Q4_0: 8,
  Q4_1: 15,
  IQ4_NL: 127,
  IQ4_XS: 127 * 32,
  MXFP4: 12,
  Q3_K: 4 * 32,
  TQ1_0: 1,
  TQ2_0: 2,
  Q5_0: 16,
  Q5_1: 31,
  Q8_0: 128,
  Q4_K: 15 * 63,
  Q5_K: 31 * 63,
  Q6_K: 32 * 128,
};

export const quantizedTypes = Object.keys(halvesOf);

export function encodingOf(dtype: string): Encoding {
  return [...ggmlTypes.values()].find(type => type.dtype === dtype)!;
}

/** Blocks of a quantised type: random codes, and scales and minima of both signs such that weights are mostly below `spread`. */
export function randomBlocks(dtype: string, count: number, seed: number, spread = 1): Uint8Array {
  const {blockBytes} = encodingOf(dtype);
  const numbers = randomFloats(seed, count * (blockBytes + 2));
  const bytes = Uint8Array.from(numbers.subarray(0, count * blockBytes), number => number * 1e5);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < count; block++) {
    // an exponent, instead of a scale
    if (dtype === 'MXFP4') bytes[block * blockBytes] = 120 + Math.round(Math.log2(spread)) + (block % 4);
    halvesOf[dtype]!.forEach((at, i) => {
      const number = (numbers[count * blockBytes + 2 * block + i]! * spread) / reach[dtype]!;
      view.setUint16(block * blockBytes + at, float16Bits(number), true);
    });
  }
  return bytes;
}

/** Gives a block's scale (`index` 0) or minimum (1) these bits of a float16 number. */
export function setHalf(bytes: Uint8Array, dtype: string, block: number, index: 0 | 1, bits: number): void {
  const at = block * encodingOf(dtype).blockBytes + halvesOf[dtype]![index]!;
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(at, bits, true);
}
