/** Builds the bytes of small, and of deliberately wrong, weight files. */

const utf8 = new TextEncoder();

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

export function u64(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** A safetensors file of this header (an object, or any text) and data. */
export function safetensorsBytes(
  header: unknown,
  data = new Uint8Array(0),
  headerLength?: number | bigint,
): Uint8Array {
  const text = utf8.encode(typeof header === 'string' ? header : JSON.stringify(header));
  return concat(u64(headerLength ?? text.length), text, data);
}

export function ggufString(text: string): Uint8Array {
  const bytes = utf8.encode(text);
  return concat(u64(bytes.length), bytes);
}

export const ggufTypes = {uint8: 0, uint32: 4, float32: 6, bool: 7, string: 8, array: 9, uint64: 10};

export function keyValue(key: string, type: number, value: Uint8Array): Uint8Array {
  return concat(ggufString(key), u32(type), value);
}

export interface GgufTensor {
  readonly name: string;
  /** Innermost axis first, as in the file. */
  readonly axes: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number | bigint;
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly keys?: readonly Uint8Array[];
  readonly keyCount?: number | bigint;
  readonly tensors?: readonly GgufTensor[];
  readonly tensorCount?: number | bigint;
  readonly alignment?: number;
  readonly data?: Uint8Array;
}

/** A GGUF file; counts may lie. */
export function ggufBytes({
  magic = 'GGUF',
  version = 3,
  keys = [],
  keyCount = keys.length,
  tensors = [],
  tensorCount = tensors.length,
  alignment = 32,
  data = new Uint8Array(0),
}: GgufParts): Uint8Array {
  const entries = tensors.map(({name, axes, type, offset}) =>
    concat(ggufString(name), u32(axes.length), ...axes.map(u64), u32(type), u64(offset)),
  );
  const head = concat(utf8.encode(magic), u32(version), u64(tensorCount), u64(keyCount), ...keys, ...entries);
  return concat(head, new Uint8Array((alignment - (head.length % alignment)) % alignment), data);
}
