import {InvalidArgumentError} from '../errors.js';
import {writeFileAtomically} from './disk.js';
import {ggmlTypes} from './gguf_types.js';
import {halfChunks} from './half_chunks.js';
import type {Encoding} from './tensor_file.js';
import {type GgufValue, HeaderBytes} from './write_gguf_metadata.js';

/** A tensor to be written; its data is requested when it is written, so that only one tensor is in memory. */
export type GgufTensor = {
  readonly name: string;
  /** Row-major, outermost axis first; the file has the axes the other way round. */
  readonly shape: readonly number[];
} & (
  | {
      readonly dtype: 'F32' | 'F16' | 'BF16';
      /** Rounded to nearest, ties to even. */
      readonly values: () => Promise<Float32Array> | Float32Array;
    }
  | {
      /** Any type of ggml: `Q4_1`, `Q8_0`, `F32`. */
      readonly dtype: string;
      /** The tensor's bytes as the file has them, in pieces of any size. */
      readonly bytes: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
    }
);

/** What a GGUF file holds, in the order in which it is written. */
export interface GgufContent {
  /** `general.alignment`, if it is there, is what tensors are aligned to. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

const magic = 0x46554747; // "GGUF", little endian
const version = 3;
const defaultAlignment = 32;
/** llama.cpp's GGML_MAX_NAME, less the zero that ends a name there. */
const maxNameBytes = 63;
const maxAxes = 4;

/** ggml's types by name. */
const types: ReadonlyMap<string, {type: number; encoding: Encoding}> = new Map(
  [...ggmlTypes].map(([type, encoding]) => [encoding.dtype, {type, encoding}]),
);

/**
 * A GGUF file of version 3, little endian, as a stream of chunks: metadata, the table of tensors, then the data of each tensor, with
 * zeros up to the alignment behind it. The same content gives the same bytes as gguf-python.
 * Source: docs/gguf.md of ggml-org/ggml.
 * @throws InvalidArgumentError for a name that is given twice or that llama.cpp does not read, an unknown type, rows that are not
 *   whole blocks, data that does not fit its shape, or metadata that has no type of the format.
 */
export async function* ggufChunks({metadata, tensors}: GgufContent): AsyncGenerator<Uint8Array> {
  const alignment = alignmentOf(metadata);
  const entries = tensors.map(tensor => ({tensor, ...stored(tensor)}));
  const header = new HeaderBytes();
  header.uint32(magic);
  header.uint32(version);
  header.uint64(entries.length);
  header.uint64(metadata.size);
  for (const [key, value] of metadata) {
    header.string(key);
    header.value(value, key);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const {tensor, type, byteLength} of entries) {
    const {name, shape} = tensor;
    if (names.has(name)) throw new InvalidArgumentError(`The tensor "${name}" is given twice.`);
    names.add(name);
    header.string(name);
    header.uint32(shape.length);
    for (const axis of shape.toReversed()) header.uint64(axis);
    header.uint32(type);
    header.uint64(offset);
    offset += byteLength + padding(byteLength, alignment);
  }
  yield header.padded(alignment);
  for (const {tensor, byteLength} of entries) {
    yield* dataChunks(tensor, byteLength);
    yield new Uint8Array(padding(byteLength, alignment));
  }
}

/**
 * Writes a GGUF file, one tensor in memory at a time (Node only). `path` is replaced at the end, after the bytes reached the disk; if
 * anything fails, no partial file remains. See `ggufChunks`.
 * @throws TransferError if the disk is full or fails.
 */
export async function writeGgufFile(path: string, content: GgufContent): Promise<void> {
  await writeFileAtomically(path, ggufChunks(content));
}

function padding(bytes: number, alignment: number): number {
  return (alignment - (bytes % alignment)) % alignment;
}

function alignmentOf(metadata: GgufContent['metadata']): number {
  const given = metadata.get('general.alignment');
  if (given === undefined) return defaultAlignment;
  if (typeof given === 'object' && 'type' in given && given.type === 'uint32') {
    const alignment = Number(given.value);
    if (alignment >= 8 && Number.isInteger(Math.log2(alignment))) return alignment;
  }
  throw new InvalidArgumentError('general.alignment must be a uint32: a power of two from 8 on.');
}

/** A tensor's type in the file, and its bytes there. */
function stored({name, dtype, shape}: GgufTensor): {type: number; byteLength: number} {
  const found = types.get(dtype);
  if (found === undefined) {
    throw new InvalidArgumentError(
      `Tensor "${name}" is to be stored as ${dtype}; the types are ${[...types.keys()].join(', ')}.`,
    );
  }
  if (name === '' || new TextEncoder().encode(name).length > maxNameBytes) {
    throw new InvalidArgumentError(`The tensor name "${name}" must have 1 to ${maxNameBytes} bytes.`);
  }
  const count = shape.reduce((product, axis) => product * axis, 1);
  const isShape = shape.length <= maxAxes && shape.every(axis => Number.isSafeInteger(axis) && axis >= 0);
  if (!isShape || !Number.isSafeInteger(count)) {
    throw new InvalidArgumentError(
      `Tensor "${name}" has the shape [${shape.join(', ')}]; at most ${maxAxes} axes of whole numbers >= 0 are allowed.`,
    );
  }
  const {blockSize, blockBytes} = found.encoding;
  const row = shape.at(-1) ?? 1;
  if (row % blockSize !== 0) {
    throw new InvalidArgumentError(
      `Tensor "${name}" has rows of ${row} values, which are not whole blocks of ${blockSize} (${dtype}); store it as F16 or F32.`,
    );
  }
  return {type: found.type, byteLength: (count / blockSize) * blockBytes};
}

async function* dataChunks(tensor: GgufTensor, byteLength: number): AsyncGenerator<Uint8Array> {
  let written = 0;
  for await (const chunk of 'bytes' in tensor ? tensor.bytes() : bytesOfValues(tensor)) {
    written += chunk.length;
    yield chunk;
  }
  if (written === byteLength) return;
  throw new InvalidArgumentError(
    `Tensor "${tensor.name}" (${tensor.dtype} [${tensor.shape.join(', ')}]) takes ${byteLength} bytes; its data has ${written}.`,
  );
}

async function* bytesOfValues(tensor: Extract<GgufTensor, {values: unknown}>): AsyncGenerator<Uint8Array> {
  const {name, dtype} = tensor;
  const values = await tensor.values();
  if (dtype === 'F32') yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  else yield* halfChunks(name, dtype, values);
}
