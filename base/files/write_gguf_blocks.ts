import type {CodedRow} from './coded_row.js';
import {float16Bits, float16Values, writeHalf} from './float_formats.js';

/** The quantised types of ggml that codes are written as. */
export type BlockType = keyof typeof writers;

/** Writes codes as blocks; undefined if the type cannot hold these numbers. */
type BlockWriter = (row: CodedRow) => Uint8Array | undefined;

/**
 * Consecutive weights as the blocks of a type of ggml, the reverse of how its blocks are read as codes. Reading them gives the same
 * numbers, in llama.cpp too; only of Q6_K, whose scales are products, llama.cpp has what float16 does not round.
 * @returns undefined if the type cannot hold exactly these numbers.
 */
export function blocksOf(type: BlockType, row: CodedRow): Uint8Array | undefined {
  return writers[type](row);
}

const writers = {Q4_0: q4_0, Q4_1: q4_1, Q5_0: q5_0, Q5_1: q5_1, Q8_0: q8_0, Q6_K: q6_k} satisfies Record<
  string,
  BlockWriter
>;

/** d, 16 bytes of two codes; x = d (q - 8). */
function q4_0({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  const halves = float16Values();
  const isHeld = scales.every((scale, block) => halves[minima?.[block] ?? 0] === -8 * halves[scale]!);
  if (!isHeld || !areWithin(codes, 0, 15)) return undefined;
  return writeBlocks(scales.length, 18, (bytes, at, block) => {
    writeHalf(bytes, at, scales[block]!);
    writeNibbles(bytes, at + 2, codes, 32 * block);
  });
}

/** d, m, 16 bytes of two codes; x = d q + m. */
function q4_1({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  if (!areWithin(codes, 0, 15)) return undefined;
  return writeBlocks(scales.length, 20, (bytes, at, block) => {
    writeHalf(bytes, at, scales[block]!);
    writeHalf(bytes, at + 2, minima?.[block] ?? 0);
    writeNibbles(bytes, at + 4, codes, 32 * block);
  });
}

/** d, 32 fifth bits, 16 bytes of two lower 4 bits; x = d (q - 16). */
function q5_0({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  if (minima !== undefined || !areWithin(codes, -16, 15)) return undefined;
  const unsigned = Uint8Array.from(codes, code => code + 16);
  return writeBlocks(scales.length, 22, (bytes, at, block) => {
    writeHalf(bytes, at, scales[block]!);
    writeFifthBits(bytes, at + 2, unsigned, 32 * block);
    writeNibbles(bytes, at + 6, unsigned, 32 * block);
  });
}

/** d, m, 32 fifth bits, 16 bytes of two lower 4 bits; x = d q + m. */
function q5_1({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  if (!areWithin(codes, 0, 31)) return undefined;
  return writeBlocks(scales.length, 24, (bytes, at, block) => {
    writeHalf(bytes, at, scales[block]!);
    writeHalf(bytes, at + 2, minima?.[block] ?? 0);
    writeFifthBits(bytes, at + 4, codes, 32 * block);
    writeNibbles(bytes, at + 8, codes, 32 * block);
  });
}

/** d, 32 signed bytes; x = d q. */
function q8_0({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  if (minima !== undefined || !areWithin(codes, -128, 127)) return undefined;
  return writeBlocks(scales.length, 34, (bytes, at, block) => {
    writeHalf(bytes, at, scales[block]!);
    bytes.set(codes.subarray(32 * block, 32 * block + 32), at + 2);
  });
}

/** 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 signed scales s, d; x = d s (q - 32). */
function q6_k({codes, scales, minima}: CodedRow): Uint8Array | undefined {
  if (minima !== undefined || codes.length % 256 !== 0 || !areWithin(codes, -32, 31)) return undefined;
  const factors: Factors[] = [];
  for (let at = 0; at < scales.length; at += 16) {
    const found = factorsOf(scales.subarray(at, at + 16));
    if (found === undefined) return undefined;
    factors.push(found);
  }
  return writeBlocks(factors.length, 210, (bytes, at, block) => {
    // eight rows of 32: row r has nibble (r & 2) of bytes (r & 1) of its half, and bit pair (r & 3) of the upper bits
    for (let row = 0; row < 8; row++) {
      const lower = at + (row >> 2) * 64 + (row & 1) * 32;
      const upper = at + 128 + (row >> 2) * 32;
      for (let j = 0; j < 32; j++) {
        const q = codes[256 * block + 32 * row + j]! + 32;
        bytes[lower + j]! |= (q & 15) << ((row & 2) * 2);
        bytes[upper + j]! |= (q >> 4) << ((row & 3) * 2);
      }
    }
    bytes.set(new Uint8Array(factors[block]!.whole.buffer), at + 192);
    writeHalf(bytes, at + 208, factors[block]!.d);
  });
}

/** A float16 number and whole numbers whose products, rounded to float16, are 16 given scales. */
interface Factors {
  /** The bits of a float16 number. */
  readonly d: number;
  readonly whole: Int8Array;
}

/** Steps between float16 numbers within which d lies of a scale, which is rounded, divided by its whole number. */
const nearestSteps = [0, 1, -1, 2, -2];

/**
 * The factors of scales that came from Q6_K. The largest scale is d times one of 255 whole numbers, in ggml's own files nearly always -128;
 * the whole numbers of the others follow, since they are off by less than 1/8.
 */
function factorsOf(scales: Uint16Array): Factors | undefined {
  const halves = float16Values();
  const values = Float32Array.from(scales, scale => halves[scale]!);
  const largest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  if (!Number.isFinite(largest)) return undefined;
  if (largest === 0) return {d: 0, whole: new Int8Array(16)};
  const whole = new Int8Array(16);
  for (let magnitude = 128; magnitude >= 1; magnitude--) {
    for (const factor of magnitude === 128 ? [-128] : [-magnitude, magnitude]) {
      const nearest = float16Bits(largest / factor);
      for (const step of nearestSteps) {
        const d = nearest + step;
        if (findWhole(values, halves[d & 0xffff]!, whole)) return {d, whole};
      }
    }
  }
  return undefined;
}

/** Fills in the whole numbers whose products with d, rounded to float16, are these values; false if there are none. */
function findWhole(values: Float32Array, d: number, whole: Int8Array): boolean {
  const halves = float16Values();
  for (let i = 0; i < values.length; i++) {
    const factor = Math.round(values[i]! / d);
    if (!(factor >= -128 && factor <= 127)) return false; // NaN too
    if (halves[float16Bits(factor * d)]! !== values[i]!) return false;
    whole[i] = factor;
  }
  return true;
}

function writeBlocks(
  count: number,
  blockBytes: number,
  write: (bytes: Uint8Array, at: number, block: number) => void,
): Uint8Array {
  const bytes = new Uint8Array(count * blockBytes);
  for (let block = 0; block < count; block++) write(bytes, block * blockBytes, block);
  return bytes;
}

function areWithin(codes: CodedRow['codes'], least: number, most: number): boolean {
  for (let i = 0; i < codes.length; i++) if (codes[i]! < least || codes[i]! > most) return false;
  return true;
}

/** The lower 4 bits of codes j and j + 16 in byte j. */
function writeNibbles(bytes: Uint8Array, at: number, codes: CodedRow['codes'], from: number): void {
  for (let j = 0; j < 16; j++) {
    bytes[at + j] = (codes[from + j]! & 15) | ((codes[from + 16 + j]! & 15) << 4);
  }
}

/** The fifth bit of code j in bit j. */
function writeFifthBits(bytes: Uint8Array, at: number, codes: CodedRow['codes'], from: number): void {
  for (let j = 0; j < 32; j++) bytes[at + (j >> 3)]! |= ((codes[from + j]! >> 4) & 1) << (j & 7);
}
