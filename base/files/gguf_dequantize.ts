import {float16Values} from './float_formats.js';

/**
 * GGML's quantised blocks to float32. Each function decodes whole blocks from `bytes` into `values[from...]`; `d` and
 * `m` are a block's float16 scale and minimum, `q` its integer codes. Source: ggml's ggml-quants.c (dequantize_row_*)
 * and its block structs in ggml-common.h; all multi-byte fields are little endian.
 *
 * Every product and sum here is exact in float64, and rounded once when stored: bit for bit what float32 arithmetic
 * gives, because scale times code fits 24 bits.
 */

function half(table: Float32Array, bytes: Uint8Array, at: number): number {
  return table[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 32 values: d, 16 bytes of two 4-bit codes; x = d (q - 8). */
export function q4_0(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 18, to += 32) {
    const d = half(table, bytes, at);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 2 + j]!;
      values[to + j] = d * ((pair & 15) - 8);
      values[to + 16 + j] = d * ((pair >> 4) - 8);
    }
  }
}

/** 32 values: d, m, 16 bytes of two 4-bit codes; x = d q + m. */
export function q4_1(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 20, to += 32) {
    const d = half(table, bytes, at);
    const m = half(table, bytes, at + 2);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 4 + j]!;
      values[to + j] = d * (pair & 15) + m;
      values[to + 16 + j] = d * (pair >> 4) + m;
    }
  }
}

/** 32 values: d, 32 fifth bits, 16 bytes of two lower 4 bits; x = d (q - 16). */
export function q5_0(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 22, to += 32) {
    const d = half(table, bytes, at);
    const fifth = word(bytes, at + 2);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 6 + j]!;
      values[to + j] = d * (((pair & 15) | (((fifth >>> j) & 1) << 4)) - 16);
      values[to + 16 + j] = d * (((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16);
    }
  }
}

/** 32 values: d, m, 32 fifth bits, 16 bytes of two lower 4 bits; x = d q + m. */
export function q5_1(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 24, to += 32) {
    const d = half(table, bytes, at);
    const m = half(table, bytes, at + 2);
    const fifth = word(bytes, at + 4);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 8 + j]!;
      values[to + j] = d * ((pair & 15) | (((fifth >>> j) & 1) << 4)) + m;
      values[to + 16 + j] = d * ((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) + m;
    }
  }
}

/** 32 values: d, 32 signed bytes; x = d q. */
export function q8_0(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  const codes = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = from; at < bytes.length; at += 34, to += 32) {
    const d = half(table, bytes, at);
    for (let j = 0; j < 32; j++) values[to + j] = d * codes[at + 2 + j]!;
  }
}

/** 256 values: d, m, 8 six-bit pairs (s, t) in 12 bytes, 128 bytes of two 4-bit codes; x = d s q - m t. */
export function q4_k(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 144, to += 256) {
    const d = half(table, bytes, at);
    const m = half(table, bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(bytes, at + 4, group);
      const minimum = m * groupMinimum(bytes, at + 4, group);
      // groups 2i and 2i+1 share 32 bytes: lower and upper nibbles
      const codes = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let j = 0; j < 32; j++) {
        values[to + group * 32 + j] = scale * ((bytes[codes + j]! >> shift) & 15) - minimum;
      }
    }
  }
}

/** As q4_k with 32 bytes of fifth bits before the codes: bit g of byte j belongs to value j of group g. */
export function q5_k(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  for (let at = 0, to = from; at < bytes.length; at += 176, to += 256) {
    const d = half(table, bytes, at);
    const m = half(table, bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(bytes, at + 4, group);
      const minimum = m * groupMinimum(bytes, at + 4, group);
      const codes = at + 48 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const fifth = ((bytes[at + 16 + j]! >> group) & 1) << 4;
        values[to + group * 32 + j] = scale * (((bytes[codes + j]! >> shift) & 15) | fifth) - minimum;
      }
    }
  }
}

/** 256 values: 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 signed scales s, d at the end; x = d s (q - 32). */
export function q6_k(bytes: Uint8Array, values: Float32Array, from: number): void {
  const table = float16Values();
  const scales = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = from; at < bytes.length; at += 210, to += 256) {
    const d = half(table, bytes, at + 208);
    // eight rows of 32: row r takes nibble (r & 2) of bytes (r & 1) of its half, and bit pair (r & 3) of `upper`
    for (let row = 0; row < 8; row++) {
      const lower = at + (row >> 2) * 64 + (row & 1) * 32;
      const upper = at + 128 + (row >> 2) * 32;
      const lowerShift = (row & 2) * 2;
      const upperShift = (row & 3) * 2;
      for (let j = 0; j < 32; j++) {
        const q = ((bytes[lower + j]! >> lowerShift) & 15) | (((bytes[upper + j]! >> upperShift) & 3) << 4);
        values[to + row * 32 + j] = d * scales[at + 192 + row * 2 + (j >> 4)]! * (q - 32);
      }
    }
  }
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
