import {ModelError} from '../errors.js';
import type {GgufCursor} from './gguf_cursor.js';
import {type NumberType, arrayType, boolType, numberTypes, stringType} from './gguf_value_types.js';
import type {Metadata, MetadataValue, NumberArray} from './tensor_file.js';

/** Limits far above real files, so that a small file cannot request much memory or time. */
const maxArrayLength = 2 ** 24;
const maxArrayDepth = 4;
const maxKeys = 16_384;
/** Texts, booleans and arrays in the arrays of a file, an array counting for as many as it takes memory. */
const maxItems = 2 ** 20;
const itemsOfArray = 256;

const numberTypeOf: ReadonlyMap<number, NumberType> = new Map(
  Object.values(numberTypes).map(each => [each.type, each]),
);

/** The `count` key-value pairs at the cursor. */
export async function readMetadata(cursor: GgufCursor, claimed: bigint): Promise<Map<string, MetadataValue>> {
  const count = cursor.checkCount(claimed, 13, 'metadata keys', maxKeys);
  const metadata = new Map<string, MetadataValue>();
  const items = new ItemCount(cursor);
  for (let i = 0; i < count; i++) {
    const key = await cursor.string('a metadata key');
    if (metadata.has(key)) throw cursor.damaged(`it has the metadata key "${key}" twice`);
    const type = await cursor.uint32(`the type of "${key}"`);
    metadata.set(key, await readValue(cursor, type, `the value of "${key}"`, items));
  }
  return metadata;
}

/** Counts the items in the arrays of a file, up to the limit. */
class ItemCount {
  private taken = 0;

  constructor(private readonly cursor: GgufCursor) {}

  /** A claimed count, once it is known to fit the file and the limit. */
  take(claimed: bigint, minBytes: number, what: string, itemsOfEach = 1): number {
    const count = this.cursor.checkCount(claimed, minBytes, what, maxArrayLength);
    this.taken += count * itemsOfEach;
    if (this.taken <= maxItems) return count;
    throw this.cursor.damaged(`it has ${what} and others, more than ${maxItems} in all`);
  }
}

async function readValue(
  cursor: GgufCursor,
  type: number,
  what: string,
  items: ItemCount,
): Promise<MetadataValue> {
  const numberType = numberTypeOf.get(type);
  if (numberType !== undefined) {
    const value = (await readNumbers(cursor, numberType, 1, what))[0]!;
    return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (type === boolType) return readBool(cursor, await cursor.bytes(1, what), what)[0]!;
  if (type === stringType) return cursor.string(what);
  if (type === arrayType) return readArray(cursor, what, items, 1);
  throw cursor.damaged(`${what} has the unknown type ${type}`);
}

async function readArray(
  cursor: GgufCursor,
  what: string,
  items: ItemCount,
  depth: number,
): Promise<MetadataValue> {
  if (depth > maxArrayDepth) throw cursor.damaged(`${what} nests arrays deeper than ${maxArrayDepth}`);
  const type = await cursor.uint32(what);
  const claimed = await cursor.uint64(what);
  const numberType = numberTypeOf.get(type);
  if (numberType !== undefined) {
    const {BYTES_PER_ELEMENT: bytes} = numberType.Values;
    const count = cursor.checkCount(claimed, bytes, `numbers in ${what}`, maxArrayLength);
    return readNumbers(cursor, numberType, count, what);
  }
  if (type === boolType) {
    const count = items.take(claimed, 1, `booleans in ${what}`);
    return readBool(cursor, await cursor.bytes(count, what), what);
  }
  if (type === stringType) {
    const count = items.take(claimed, 8, `strings in ${what}`);
    const strings: string[] = [];
    for (let i = 0; i < count; i++) strings.push(await cursor.string(what));
    return strings;
  }
  if (type === arrayType) {
    const count = items.take(claimed, 12, `arrays in ${what}`, itemsOfArray);
    const arrays: MetadataValue[] = [];
    for (let i = 0; i < count; i++) arrays.push(await readArray(cursor, what, items, depth + 1));
    return arrays;
  }
  throw cursor.damaged(`${what} is an array of the unknown type ${type}`);
}

async function readNumbers(
  cursor: GgufCursor,
  {Values}: NumberType,
  count: number,
  what: string,
): Promise<NumberArray> {
  return new Values((await cursor.bytes(count * Values.BYTES_PER_ELEMENT, what)).buffer);
}

function readBool(cursor: GgufCursor, bytes: Uint8Array, what: string): boolean[] {
  return Array.from(bytes, byte => {
    if (byte > 1) throw cursor.damaged(`${what} is a boolean of the value ${byte}`);
    return byte === 1;
  });
}

/** A string of the metadata, undefined if the key is missing; ModelError if it is something else. */
export function metadataString(metadata: Metadata, key: string): string | undefined {
  return checked(metadata, key, 'a string', value => typeof value === 'string');
}

/** A number of the metadata; see `metadataString`. */
export function metadataNumber(metadata: Metadata, key: string): number | undefined {
  return checked(metadata, key, 'a number', value => typeof value === 'number');
}

/** A boolean of the metadata; see `metadataString`. */
export function metadataBoolean(metadata: Metadata, key: string): boolean | undefined {
  return checked(metadata, key, 'a boolean', value => typeof value === 'boolean');
}

/** A list of strings of the metadata; see `metadataString`. */
export function metadataStrings(metadata: Metadata, key: string): readonly string[] | undefined {
  const isStrings = (value: MetadataValue): value is readonly string[] =>
    Array.isArray(value) && value.every(entry => typeof entry === 'string');
  return checked(metadata, key, 'a list of strings', isStrings);
}

/** A list of numbers of the metadata, of any width up to 32 bits or float64; see `metadataString`. */
export function metadataNumbers(metadata: Metadata, key: string): ArrayLike<number> | undefined {
  const isNumbers = (value: MetadataValue): value is Float32Array =>
    ArrayBuffer.isView(value) && !(value instanceof BigUint64Array || value instanceof BigInt64Array);
  return checked(metadata, key, 'a list of numbers', isNumbers);
}

function checked<T extends MetadataValue>(
  metadata: Metadata,
  key: string,
  expected: string,
  is: (value: MetadataValue) => value is T,
): T | undefined {
  const value = metadata.get(key);
  if (value === undefined || is(value)) return value;
  throw new ModelError(`The model's metadata "${key}" should be ${expected}; convert the model again.`);
}
