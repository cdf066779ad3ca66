import {freeArrays} from '../free_arrays.js';
import type {CodedRow} from './coded_row.js';
import {float16Values, toFloat16} from './float_formats.js';
import type {Encoding} from './tensor_file.js';

/**
 * GGML's quantised blocks. Each function reads whole blocks as integer codes with scales and minima; `d` and `m` are a block's float16
 * scale and minimum, `q` its codes. Source: ggml's ggml-quants.c (dequantize_row_*) and its block structs in ggml-common.h; all
 * multi-byte fields are little endian.
 */
type ReadBlocks = (bytes: Uint8Array) => BlockCodes;

/** Scales and minima are exact: a float16 number times an integer of 8 bits fits float32. */
export interface BlockCodes {
  readonly codes: Uint8Array | Int8Array;
  /** One for each group of 16 or 32 codes. */
  readonly scales: Float32Array;
  /** One for each group of codes. Default: none. */
  readonly minima?: Float32Array;
  /** The code that stands for 0, in types without minima. Default 0. */
  readonly zero?: number;
}

/**
 * A quantised type whose codes come in groups of 16, or of 32 with minima.
 *
 * - `decode` gives float32. Products and sums are exact in float64 and rounded once when stored: bit for bit what ggml's float32
 *   arithmetic gives, because a scale times a code fits 24 bits.
 * - `asStored` gives the codes. Scales and minima of Q4_0 (minimum -8 d), Q4_1, Q5_0, Q5_1 and Q8_0 are exact. Those of K types and IQ4_XS
 *   are products, and those of MXFP4 may be tiny, rounded to the nearest float16: the error is at most 2^-11 of the number, or 2^-25 if that is more. A number
 *   that float16 cannot hold becomes an infinity.
 */
export function quantized(dtype: string, blockSize: number, blockBytes: number, read: ReadBlocks): Encoding {
  return {
    ...decoded(dtype, blockSize, blockBytes, read),
    asStored: bytes => codedRow(read(bytes)),
  };
}

/** A quantised type whose codes no packed format holds, since its groups of 16 have minima. */
export function decoded(dtype: string, blockSize: number, blockBytes: number, read: ReadBlocks): Encoding {
  return {
    ...{dtype, blockSize, blockBytes},
    decode: (bytes, values, from) => {
      const blocks = read(bytes);
      decodeCodes(blocks, values, from);
      freeArrays(blocks.codes, blocks.scales, blocks.minima);
    },
  };
}

function decodeCodes(
  {codes, scales, minima, zero = 0}: BlockCodes,
  values: Float32Array,
  from: number,
): void {
  const groupSize = codes.length / scales.length;
  for (let group = 0, at = 0; group < scales.length; group++) {
    const scale = scales[group]!;
    const end = at + groupSize;
    if (minima === undefined) for (; at < end; at++) values[from + at] = scale * (codes[at]! - zero);
    else for (; at < end; at++) values[from + at] = scale * codes[at]! + minima[group]!;
  }
}

function codedRow({codes, scales, minima, zero = 0}: BlockCodes): CodedRow {
  const lowest = zero === 0 ? minima : scales.map(scale => -zero * scale);
  const row = {codes, scales: toHalves(scales), minima: lowest && toHalves(lowest)};
  freeArrays(scales, lowest);
  return row;
}

function toHalves(numbers: Float32Array): Uint16Array {
  const halves = new Uint16Array(numbers.length);
  toFloat16(numbers, halves);
  return halves;
}

export function half(table: Float32Array, bytes: Uint8Array, at: number): number {
  return table[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 32 values: d, 16 bytes of two 4-bit codes; x = d (q - 8). */
export function q4_0(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 18;
  const codes = new Uint8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 18) {
    scales[block] = half(table, bytes, at);
    nibbles(bytes, at + 2, codes, block * 32);
  }
  return {codes, scales, zero: 8};
}

/** 32 values: d, m, 16 bytes of two 4-bit codes; x = d q + m. */
export function q4_1(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 20;
  const codes = new Uint8Array(blocks * 32);
  const [scales, minima] = [new Float32Array(blocks), new Float32Array(blocks)];
  for (let block = 0, at = 0; block < blocks; block++, at += 20) {
    scales[block] = half(table, bytes, at);
    minima[block] = half(table, bytes, at + 2);
    nibbles(bytes, at + 4, codes, block * 32);
  }
  return {codes, scales, minima};
}

/** 32 values: d, 32 fifth bits, 16 bytes of two lower 4 bits; x = d (q - 16). */
export function q5_0(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 22;
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 22) {
    scales[block] = half(table, bytes, at);
    const fifth = word(bytes, at + 2);
    nibbles(bytes, at + 6, codes, block * 32);
    for (let i = 0; i < 32; i++) codes[block * 32 + i]! += (((fifth >>> i) & 1) << 4) - 16;
  }
  return {codes, scales};
}

/** 32 values: d, m, 32 fifth bits, 16 bytes of two lower 4 bits; x = d q + m. */
export function q5_1(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 24;
  const codes = new Uint8Array(blocks * 32);
  const [scales, minima] = [new Float32Array(blocks), new Float32Array(blocks)];
  for (let block = 0, at = 0; block < blocks; block++, at += 24) {
    scales[block] = half(table, bytes, at);
    minima[block] = half(table, bytes, at + 2);
    const fifth = word(bytes, at + 4);
    nibbles(bytes, at + 8, codes, block * 32);
    for (let i = 0; i < 32; i++) codes[block * 32 + i]! |= ((fifth >>> i) & 1) << 4;
  }
  return {codes, scales, minima};
}

/** 32 values: d, 32 signed bytes; x = d q. */
export function q8_0(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 34;
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 34) {
    scales[block] = half(table, bytes, at);
    for (let i = 0; i < 32; i++) codes[block * 32 + i] = bytes[at + 2 + i]!;
  }
  return {codes, scales};
}

/** 256 values: d, m, 8 six-bit pairs (s, t) in 12 bytes, 128 bytes of two 4-bit codes; x = d s q - m t. */
export function q4_k(bytes: Uint8Array): BlockCodes {
  const codes = new Uint8Array((bytes.length / 144) * 256);
  for (let at = 0, to = 0; at < bytes.length; at += 144, to += 256) nibblesOfK(bytes, at + 16, codes, to);
  return {codes, ...groupsOfK(bytes, 144)};
}

/** As q4_k with 32 bytes of fifth bits before the codes: bit g of byte j belongs to value j of group g. */
export function q5_k(bytes: Uint8Array): BlockCodes {
  const codes = new Uint8Array((bytes.length / 176) * 256);
  for (let at = 0, to = 0; at < bytes.length; at += 176, to += 256) {
    nibblesOfK(bytes, at + 48, codes, to);
    for (let j = 0; j < 32; j++) {
      const fifths = bytes[at + 16 + j]!;
      for (let group = 0; group < 8; group++) codes[to + group * 32 + j]! |= ((fifths >> group) & 1) << 4;
    }
  }
  return {codes, ...groupsOfK(bytes, 176)};
}

/** 256 values: 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 signed scales s, d at the end; x = d s (q - 32). */
export function q6_k(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 210;
  const codes = new Int8Array(blocks * 256);
  const scales = new Float32Array(blocks * 16);
  const factors = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0, at = 0; block < blocks; block++, at += 210) {
    const d = half(table, bytes, at + 208);
    for (let group = 0; group < 16; group++) scales[block * 16 + group] = d * factors[at + 192 + group]!;
    // eight rows of 32: row r takes nibble (r & 2) of bytes (r & 1) of its half, and bit pair (r & 3) of `upper`
    for (let row = 0, to = block * 256; row < 8; row++, to += 32) {
      const lower = at + (row >> 2) * 64 + (row & 1) * 32;
      const upper = at + 128 + (row >> 2) * 32;
      const lowerShift = (row & 2) * 2;
      const upperShift = (row & 3) * 2;
      for (let j = 0; j < 32; j++) {
        const low = (bytes[lower + j]! >> lowerShift) & 15;
        codes[to + j] = (low | (((bytes[upper + j]! >> upperShift) & 3) << 4)) - 32;
      }
    }
  }
  return {codes, scales};
}

/** 16 bytes as 32 codes: lower nibbles first. */
export function nibbles(bytes: Uint8Array, at: number, codes: BlockCodes['codes'], to: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!;
    codes[to + j] = pair & 15;
    codes[to + 16 + j] = pair >> 4;
  }
}

/** 128 bytes as 256 codes: groups 2i and 2i + 1 share 32 bytes, lower and upper nibbles. */
function nibblesOfK(bytes: Uint8Array, at: number, codes: Uint8Array, to: number): void {
  for (let pair = 0; pair < 4; pair++, at += 32, to += 64) {
    for (let j = 0; j < 32; j++) {
      codes[to + j] = bytes[at + j]! & 15;
      codes[to + 32 + j] = bytes[at + j]! >> 4;
    }
  }
}

/** Scales d s and minima -m t of the groups of Q4_K and Q5_K. */
function groupsOfK(bytes: Uint8Array, blockBytes: number): Pick<Required<BlockCodes>, 'scales' | 'minima'> {
  const table = float16Values();
  const groups = (bytes.length / blockBytes) * 8;
  const [scales, minima] = [new Float32Array(groups), new Float32Array(groups)];
  for (let to = 0, at = 0; to < groups; to += 8, at += blockBytes) {
    const d = half(table, bytes, at);
    const m = half(table, bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      scales[to + group] = d * groupScale(bytes, at + 4, group);
      minima[to + group] = -m * groupMinimum(bytes, at + 4, group);
    }
  }
  return {scales, minima};
}

/** The 6-bit scale of a group. The first four are in the low bits of bytes 0-3, whose upper 2 bits belong to the others. */
function groupScale(bytes: Uint8Array, at: number, group: number): number {
  return group < 4
    ? bytes[at + group]! & 63
    : (bytes[at + group + 4]! & 15) | ((bytes[at + group - 4]! >> 6) << 4);
}

/** The 6-bit minimum of a group, packed the same way in bytes 4-7 and the upper nibbles of bytes 8-11. */
function groupMinimum(bytes: Uint8Array, at: number, group: number): number {
  return group < 4
    ? bytes[at + group + 4]! & 63
    : (bytes[at + group + 4]! >> 4) | ((bytes[at + group]! >> 6) << 4);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
