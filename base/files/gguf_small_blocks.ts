import {type BlockCodes, half, nibbles} from './gguf_blocks.js';
import {float16Values} from './float_formats.js';

// GGML's blocks of 1.7 to 4.25 bits per weight: K types of 2 and 3 bits, ternary ones, and codes that name a level of a table. See
// gguf_blocks.ts; the source is the same.

/** 256 values: 16 pairs of 4-bit (s, t), 64 bytes of four 2-bit codes, d, m; x = d s q - m t, of groups of 16. */
export function q2_k(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 84;
  const codes = new Uint8Array(blocks * 256);
  const [scales, minima] = [new Float32Array(blocks * 16), new Float32Array(blocks * 16)];
  for (let block = 0, at = 0; block < blocks; block++, at += 84) {
    const [d, m] = [half(table, bytes, at + 80), half(table, bytes, at + 82)];
    for (let group = 0; group < 16; group++) {
      scales[block * 16 + group] = d * (bytes[at + group]! & 15);
      minima[block * 16 + group] = -m * (bytes[at + group]! >> 4);
    }
    bitPairs(bytes, at + 16, codes, block * 256);
  }
  return {codes, scales, minima};
}

/**
 * 256 values: 32 bytes of third bits (bit r of byte j belongs to value j of row r of 32), 64 bytes of four lower 2 bits, 16 six-bit s in
 * 12 bytes, d; x = d (s - 32) (q - 4), of groups of 16.
 */
export function q3_k(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 110;
  const codes = new Int8Array(blocks * 256);
  const scales = new Float32Array(blocks * 16);
  for (let block = 0, at = 0; block < blocks; block++, at += 110) {
    const d = half(table, bytes, at + 108);
    for (let group = 0; group < 16; group++) {
      const low = (bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
      const high = (bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
      scales[block * 16 + group] = d * ((low | (high << 4)) - 32);
    }
    bitPairs(bytes, at + 32, codes, block * 256);
    for (let i = 0; i < 256; i++) {
      const third = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
      codes[block * 256 + i]! += 4 * third - 4;
    }
  }
  return {codes, scales};
}

/** The levels of IQ4_NL and IQ4_XS, which are not equally far apart. */
const levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

/** 32 values: d, 16 bytes of two 4-bit codes; x = d level(q). */
export function iq4_nl(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 18;
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 18) {
    scales[block] = half(table, bytes, at);
    levelsOf(levels, bytes, at + 2, codes, block * 32);
  }
  return {codes, scales};
}

/** 256 values: d, 8 six-bit s (upper 2 bits in 2 bytes, lower 4 in 4), 128 bytes of two 4-bit codes; x = d (s - 32) level(q). */
export function iq4_xs(bytes: Uint8Array): BlockCodes {
  const table = float16Values();
  const blocks = bytes.length / 136;
  const codes = new Int8Array(blocks * 256);
  const scales = new Float32Array(blocks * 8);
  for (let block = 0, at = 0; block < blocks; block++, at += 136) {
    const d = half(table, bytes, at);
    const upper = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let group = 0; group < 8; group++) {
      const low = (bytes[at + 4 + (group >> 1)]! >> (4 * (group & 1))) & 15;
      scales[block * 8 + group] = d * ((low | (((upper >> (2 * group)) & 3) << 4)) - 32);
      levelsOf(levels, bytes, at + 8 + 16 * group, codes, block * 256 + 32 * group);
    }
  }
  return {codes, scales};
}

/** The levels of MXFP4, twice those of its 4-bit float (E2M1; OCP Microscaling Formats, version 1.0). */
const floatLevels = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12] as const;

/** 32 values: an exponent e of 8 bits, 16 bytes of two 4-bit codes; x = 2^(e - 128) level(q). */
export function mxfp4(bytes: Uint8Array): BlockCodes {
  const blocks = bytes.length / 17;
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 17) {
    scales[block] = 2 ** (bytes[at]! - 128);
    levelsOf(floatLevels, bytes, at + 1, codes, block * 32);
  }
  return {codes, scales};
}

/**
 * 256 values of -1, 0, 1: 48 bytes of five base-3 digits, 4 bytes of four, d; x = d (q - 1). A byte is a fraction of 256: digit n is
 * the first one after it is multiplied by 3^n.
 */
export function tq1_0(bytes: Uint8Array): BlockCodes {
  const blocks = bytes.length / 54;
  const codes = new Uint8Array(blocks * 256);
  for (let block = 0, at = 0; block < blocks; block++, at += 54) {
    const to = block * 256;
    ternary(bytes, {at, count: 32, digits: 5}, codes, to);
    ternary(bytes, {at: at + 32, count: 16, digits: 5}, codes, to + 160);
    ternary(bytes, {at: at + 48, count: 4, digits: 4}, codes, to + 240);
  }
  return {codes, scales: scalesOfGroups(bytes, 54), zero: 1};
}

/** 256 values: 64 bytes of four 2-bit codes, d; x = d (q - 1). */
export function tq2_0(bytes: Uint8Array): BlockCodes {
  const codes = new Uint8Array((bytes.length / 66) * 256);
  for (let at = 0, to = 0; at < bytes.length; at += 66, to += 256) bitPairs(bytes, at, codes, to);
  return {codes, scales: scalesOfGroups(bytes, 66), zero: 1};
}

/** Two halves of 32 bytes as 256 codes: each half has four rows of 32, the lowest bit pair of its bytes first. */
function bitPairs(bytes: Uint8Array, at: number, codes: BlockCodes['codes'], to: number): void {
  for (let row = 0; row < 8; row++) {
    const from = at + 32 * (row >> 2);
    const shift = 2 * (row & 3);
    for (let j = 0; j < 32; j++) codes[to + 32 * row + j] = (bytes[from + j]! >> shift) & 3;
  }
}

/** 16 bytes as 32 levels. */
function levelsOf(
  table: readonly number[],
  bytes: Uint8Array,
  at: number,
  codes: BlockCodes['codes'],
  to: number,
): void {
  nibbles(bytes, at, codes, to);
  for (let i = to; i < to + 32; i++) codes[i] = table[codes[i]!]!;
}

/** The digits of some bytes: the first of all of them, then the second. */
function ternary(
  bytes: Uint8Array,
  {at, count, digits}: {at: number; count: number; digits: number},
  codes: BlockCodes['codes'],
  to: number,
): void {
  for (let digit = 0, power = 1; digit < digits; digit++, power *= 3) {
    for (let j = 0; j < count; j++) {
      codes[to + digit * count + j] = (((bytes[at + j]! * power) & 255) * 3) >> 8;
    }
  }
}

/** The scale d at the end of each block of 256, for each of its groups of 32. */
function scalesOfGroups(bytes: Uint8Array, blockBytes: number): Float32Array {
  const table = float16Values();
  const scales = new Float32Array((bytes.length / blockBytes) * 8);
  for (let to = 0, end = blockBytes; to < scales.length; to += 8, end += blockBytes) {
    scales.fill(half(table, bytes, end - 2), to, to + 8);
  }
  return scales;
}
