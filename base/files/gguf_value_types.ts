import type {NumberArray} from './tensor_file.js';

/** Types of metadata values without a fixed width, by their numbers in the file (docs/gguf.md of ggml-org/ggml). */
export const boolType = 7;
export const stringType = 8;
export const arrayType = 9;

/** Types of numbers: their numbers in the file, and what their arrays are in memory (little endian on both sides). */
export const numberTypes = {
  uint8: {type: 0, Values: Uint8Array, of: x => Uint8Array.of(Number(x))},
  int8: {type: 1, Values: Int8Array, of: x => Int8Array.of(Number(x))},
  uint16: {type: 2, Values: Uint16Array, of: x => Uint16Array.of(Number(x))},
  int16: {type: 3, Values: Int16Array, of: x => Int16Array.of(Number(x))},
  uint32: {type: 4, Values: Uint32Array, of: x => Uint32Array.of(Number(x))},
  int32: {type: 5, Values: Int32Array, of: x => Int32Array.of(Number(x))},
  float32: {type: 6, Values: Float32Array, of: x => Float32Array.of(Number(x))},
  uint64: {type: 10, Values: BigUint64Array, of: x => BigUint64Array.of(BigInt(x))},
  int64: {type: 11, Values: BigInt64Array, of: x => BigInt64Array.of(BigInt(x))},
  float64: {type: 12, Values: Float64Array, of: x => Float64Array.of(Number(x))},
} as const satisfies Record<string, NumberType>;

export interface NumberType {
  readonly type: number;
  readonly Values: (new (buffer: ArrayBuffer) => NumberArray) & {readonly BYTES_PER_ELEMENT: number};
  /** An array of this one number; integers beyond the type wrap around. */
  readonly of: (value: number | bigint) => NumberArray;
}

export type NumberTypeName = keyof typeof numberTypes;
