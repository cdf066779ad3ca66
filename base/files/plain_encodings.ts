import {float16Values, float8Values} from './float_formats.js';
import type {Encoding} from './tensor_file.js';

/** Encodings that store one value after the other, little endian, as both safetensors and GGUF have them. */

/**
 * The same bytes if their start is aligned for a typed array, else a copy: a piece read from a
 * file has its own buffer, but a view of bytes in memory may start anywhere.
 */
function aligned(bytes: Uint8Array, alignment: number): Uint8Array {
  return bytes.byteOffset % alignment === 0 ? bytes : new Uint8Array(bytes);
}

type NumberView = new (
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => {readonly length: number; readonly [index: number]: number};

function numbers(dtype: string, View: NumberView, blockBytes: number): Encoding {
  return {
    dtype,
    blockSize: 1,
    blockBytes,
    decode(bytes, values, from) {
      const source = aligned(bytes, blockBytes);
      const view = new View(source.buffer, source.byteOffset, source.length / blockBytes);
      for (let i = 0; i < view.length; i++) values[from + i] = view[i]!;
    },
  };
}

type BigIntView = new (
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => {readonly length: number; readonly [index: number]: bigint};

function bigNumbers(dtype: string, View: BigIntView): Encoding {
  return {
    dtype,
    blockSize: 1,
    blockBytes: 8,
    decode(bytes, values, from) {
      const source = aligned(bytes, 8);
      const view = new View(source.buffer, source.byteOffset, source.length / 8);
      for (let i = 0; i < view.length; i++) values[from + i] = Number(view[i]!);
    },
  };
}

function float8(dtype: string, format: 'E4M3' | 'E5M2'): Encoding {
  return {
    dtype,
    blockSize: 1,
    blockBytes: 1,
    decode(bytes, values, from) {
      const table = float8Values(format);
      for (let i = 0; i < bytes.length; i++) values[from + i] = table[bytes[i]!]!;
    },
  };
}

export const f32: Encoding = {
  dtype: 'F32',
  blockSize: 1,
  blockBytes: 4,
  decode(bytes, values, from) {
    new Uint8Array(values.buffer, values.byteOffset + from * 4, bytes.length).set(bytes);
  },
};

export const f16: Encoding = {
  dtype: 'F16',
  blockSize: 1,
  blockBytes: 2,
  decode(bytes, values, from) {
    const table = float16Values();
    const halves = halvesOf(bytes);
    for (let i = 0; i < halves.length; i++) values[from + i] = table[halves[i]!]!;
  },
  asStored: bytes => halvesOf(bytes).slice(),
};

export const bf16: Encoding = {
  dtype: 'BF16',
  blockSize: 1,
  blockBytes: 2,
  decode(bytes, values, from) {
    const halves = halvesOf(bytes);
    const words = new Uint32Array(values.buffer, values.byteOffset + from * 4, halves.length);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  },
  asStored: bytes => halvesOf(bytes).slice(),
};

function halvesOf(bytes: Uint8Array): Uint16Array {
  const source = aligned(bytes, 2);
  return new Uint16Array(source.buffer, source.byteOffset, source.length / 2);
}

export const f64 = numbers('F64', Float64Array, 8);
export const i8 = numbers('I8', Int8Array, 1);
export const i16 = numbers('I16', Int16Array, 2);
export const i32 = numbers('I32', Int32Array, 4);
export const i64 = bigNumbers('I64', BigInt64Array);
export const u8 = numbers('U8', Uint8Array, 1);
export const u16 = numbers('U16', Uint16Array, 2);
export const u32 = numbers('U32', Uint32Array, 4);
export const u64 = bigNumbers('U64', BigUint64Array);
export const f8e4m3 = float8('F8_E4M3', 'E4M3');
export const f8e5m2 = float8('F8_E5M2', 'E5M2');

export const bool: Encoding = {
  dtype: 'BOOL',
  blockSize: 1,
  blockBytes: 1,
  decode(bytes, values, from) {
    for (let i = 0; i < bytes.length; i++) values[from + i] = bytes[i] === 0 ? 0 : 1;
  },
};
