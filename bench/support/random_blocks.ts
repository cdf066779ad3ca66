import {toFloat16} from '../../base/files/float_formats.js';
import {ggmlTypes} from '../../base/files/gguf_types.js';

/** Types of ggml that random weights are made in. */
export type RandomType = keyof typeof finish;

/** Turns random bytes into whole blocks of weights of a standard deviation: writes their scales. */
type Finish = (bytes: Uint8Array, deviation: number) => void;

/** Uniform codes of so many bits deviate by this from their mean. */
const deviationOf = (bits: number) => Math.sqrt((4 ** bits - 1) / 12);

const finish = {
  F32: (bytes, deviation) => setExponents(new Uint32Array(bytes.buffer), 0x807fffff, 23, 127, deviation),
  F16: (bytes, deviation) => setExponents(new Uint16Array(bytes.buffer), 0x83ff, 10, 15, deviation),
  BF16: (bytes, deviation) => setExponents(new Uint16Array(bytes.buffer), 0x807f, 7, 127, deviation),
  Q4_0: (bytes, deviation) => setScales(bytes, 18, [[0, deviation / deviationOf(4)]]),
  Q4_1: (bytes, deviation) => setScales(bytes, 20, withMinimum(deviation / deviationOf(4), 15)),
  Q5_0: (bytes, deviation) => setScales(bytes, 22, [[0, deviation / deviationOf(5)]]),
  Q5_1: (bytes, deviation) => setScales(bytes, 24, withMinimum(deviation / deviationOf(5), 31)),
  Q8_0: (bytes, deviation) => setScales(bytes, 34, [[0, deviation / deviationOf(8)]]),
  Q4_K: (bytes, deviation) => setGroups(bytes, 144, deviation / deviationOf(4), 15),
  Q5_K: (bytes, deviation) => setGroups(bytes, 176, deviation / deviationOf(5), 31),
  Q6_K: (bytes, deviation) => {
    for (let at = 0; at < bytes.length; at += 210) {
      for (let i = 192; i < 208; i++) bytes[at + i] = (bytes[at + i]! & 63) | 64; // 64 to 127
    }
    setScales(bytes, 210, [[208, deviation / deviationOf(6) / 95.5]]);
  },
} as const satisfies Record<string, Finish>;

export const randomTypes = Object.keys(finish) as RandomType[];

/** Bytes of a chunk, about. */
const chunkBytes = 4 * 2 ** 20;

/**
 * Random weights with a mean near 0, as the bytes of a GGUF tensor: uniform codes, scales that vary from block to block.
 *
 * @param count of weights, whole blocks.
 * @param random gives numbers in [0, 1).
 */
export function* randomBlocks(
  type: RandomType,
  count: number,
  deviation: number,
  random: () => number,
): Generator<Uint8Array> {
  const {blockSize, blockBytes} = [...ggmlTypes.values()].find(({dtype}) => dtype === type)!;
  const perChunk = 4 * Math.ceil(chunkBytes / blockBytes / 4);
  for (let left = count / blockSize; left > 0; left -= perChunk) {
    const target = new Uint32Array((perChunk * blockBytes) / 4);
    for (let i = 0; i < target.length; i++) target[i] = random() * 2 ** 32;
    const bytes = new Uint8Array(target.buffer);
    finish[type](bytes, deviation);
    yield left < perChunk ? bytes.subarray(0, left * blockBytes) : bytes;
  }
}

function withMinimum(scale: number, mostCode: number): [at: number, value: number][] {
  return [
    [0, scale],
    [2, (-mostCode / 2) * scale],
  ];
}

/** Writes float16 numbers into each block, all of one block times a factor of 0.75 to 1.22. */
function setScales(
  bytes: Uint8Array,
  blockBytes: number,
  scales: readonly [at: number, value: number][],
): void {
  const factors = Float32Array.from({length: 16}, (_, i) => 0.75 + i / 32);
  const halves = scales.map(([at, value]) => {
    const bits = new Uint16Array(16);
    toFloat16(
      factors.map(factor => factor * value),
      bits,
    );
    return [at, bits] as const;
  });
  for (let block = 0; block < bytes.length; block += blockBytes) {
    const factor = bytes[block + (blockBytes >> 1)]! & 15;
    for (const [at, bits] of halves) {
      bytes[block + at] = bits[factor]! & 255;
      bytes[block + at + 1] = bits[factor]! >> 8;
    }
  }
}

/** Of a K type with minima: scales of groups from 32 to 63, and minima equal to them, so that the mean of a group is 0. */
function setGroups(bytes: Uint8Array, blockBytes: number, scale: number, mostCode: number): void {
  for (let at = 4; at < bytes.length; at += blockBytes) {
    for (let group = 0; group < 4; group++) {
      // the upper two bits of the first eight bytes belong to groups 4 to 7, whose scales are from 32 on too
      const [low, high] = [bytes[at + group]! & 31, bytes[at + 8 + group]! & 15];
      bytes[at + group] = bytes[at + 4 + group] = 0x80 | 32 | low;
      bytes[at + 8 + group] = high | (high << 4);
    }
  }
  const d = scale / 47.5;
  setScales(bytes, blockBytes, [
    [0, d],
    [2, (d * mostCode) / 2],
  ]);
}

/** Gives random floats the exponent with which they deviate about as asked: magnitudes from 2^e to 2^(e+1) deviate by 1.53 x 2^e. */
function setExponents(
  words: Uint32Array | Uint16Array,
  kept: number,
  fractionBits: number,
  bias: number,
  deviation: number,
): void {
  const exponent = (Math.round(Math.log2(deviation / 1.53)) + bias) << fractionBits;
  for (let i = 0; i < words.length; i++) words[i] = (words[i]! & kept) | exponent;
}
