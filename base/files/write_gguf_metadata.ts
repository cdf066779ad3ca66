import {InvalidArgumentError, shown} from '../errors.js';
import {type NumberTypeName, arrayType, boolType, numberTypes, stringType} from './gguf_value_types.js';
import type {NumberArray} from './tensor_file.js';

/** A number of the metadata with its type in the file, which readers insist on: counts are uint32, settings float32. */
export interface GgufNumber {
  readonly type: NumberTypeName;
  readonly value: number | bigint;
}

/** An array of the metadata. Without elements it is one of texts. */
export type GgufArray = readonly string[] | readonly boolean[] | NumberArray | readonly GgufArray[];

/** A value of the metadata as it is written; the type of an array of numbers is that of its typed array. */
export type GgufValue = string | boolean | GgufNumber | GgufArray;

export const uint32 = (value: number): GgufNumber => ({type: 'uint32', value});
export const float32 = (value: number): GgufNumber => ({type: 'float32', value});

/** Bytes of a header, one value after the other. */
export class HeaderBytes {
  private bytes = new Uint8Array(64 * 1024);
  private length = 0;
  private readonly encoder = new TextEncoder();

  /** The bytes so far, and zeros up to a multiple of `alignment`. */
  padded(alignment: number): Uint8Array {
    const length = Math.ceil(this.length / alignment) * alignment;
    this.reserve(length - this.length);
    return this.bytes.subarray(0, length);
  }

  uint32(value: number): void {
    this.append(bytesOf(Uint32Array.of(value)));
  }

  uint64(value: number): void {
    this.append(bytesOf(BigUint64Array.of(BigInt(value))));
  }

  string(text: string): void {
    const bytes = this.encoder.encode(text);
    this.uint64(bytes.length);
    this.append(bytes);
  }

  /** The type of a value and the value. @throws InvalidArgumentError if it has none of the types, or does not fit its own. */
  value(value: GgufValue, key: string): void {
    if (typeof value === 'string') {
      this.uint32(stringType);
      this.string(value);
    } else if (typeof value === 'boolean') {
      this.uint32(boolType);
      this.append(Uint8Array.of(Number(value)));
    } else if (isNumber(value)) {
      this.uint32(numberTypes[value.type].type);
      this.append(bytesOf(valuesOf(value, key)));
    } else {
      this.uint32(arrayType);
      this.array(value, key);
    }
  }

  private array(values: GgufArray, key: string): void {
    if (isTyped(values)) {
      this.uint32(typeOfArray(values));
      this.uint64(values.length);
      this.append(bytesOf(values));
    } else if (areStrings(values)) {
      this.uint32(stringType);
      this.uint64(values.length);
      for (const text of values) this.string(text);
    } else if (areBooleans(values)) {
      this.uint32(boolType);
      this.uint64(values.length);
      this.append(Uint8Array.from(values, Number));
    } else if (areArrays(values)) {
      this.uint32(arrayType);
      this.uint64(values.length);
      for (const inner of values) this.array(inner, key);
    } else {
      throw new InvalidArgumentError(
        `The metadata "${key}" is ${shown(values)}; an array holds only texts, only booleans or only arrays. Numbers come in a ` +
          'typed array.',
      );
    }
  }

  private append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

function isNumber(value: GgufNumber | GgufArray): value is GgufNumber {
  return 'type' in value;
}

function isTyped(values: GgufArray): values is NumberArray {
  return ArrayBuffer.isView(values);
}

function areStrings(values: readonly unknown[]): values is readonly string[] {
  return values.every(value => typeof value === 'string');
}

function areBooleans(values: readonly unknown[]): values is readonly boolean[] {
  return values.every(value => typeof value === 'boolean');
}

function areArrays(values: readonly unknown[]): values is readonly GgufArray[] {
  return values.every(value => Array.isArray(value) || ArrayBuffer.isView(value));
}

/** @throws InvalidArgumentError if the number is not one of its type; floats are rounded. */
function valuesOf({type, value}: GgufNumber, key: string): NumberArray {
  const {of} = numberTypes[type];
  if (type === 'float32' || type === 'float64') return of(value);
  if (typeof value === 'bigint' || Number.isInteger(value)) {
    const values = of(value);
    if (BigInt(values[0]!) === BigInt(value)) return values;
  }
  throw new InvalidArgumentError(`The metadata "${key}" is ${String(value)}, which is no ${type}.`);
}

function typeOfArray(values: NumberArray): number {
  const found = Object.values(numberTypes).find(({Values}) => values instanceof Values);
  return found!.type;
}

function bytesOf(values: NumberArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
