import {FormatError, ModelError, didYouMean, shown} from '../errors.js';
import type {ByteSource} from './byte_source.js';

/** A tensor, as the header of the file describes it. */
export interface TensorInfo {
  readonly name: string;
  /** The name in the file's format: `F32`, `BF16`, `Q4_K`. */
  readonly dtype: string;
  /** Row-major, outermost axis first, in both formats (GGUF stores it the other way round). */
  readonly shape: readonly number[];
  /** Bytes in the file. */
  readonly byteLength: number;
}

/** Integers of 64 bits are numbers if exact, else bigints. Arrays of numbers are typed arrays. */
export type MetadataValue =
  | string
  | number
  | bigint
  | boolean
  | readonly string[]
  | readonly boolean[]
  | NumberArray
  | readonly MetadataValue[];

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

export type Metadata = ReadonlyMap<string, MetadataValue>;

/** An open file of weights: its header is read and checked, its tensors are read on demand. */
export interface TensorFile {
  readonly format: 'safetensors' | 'gguf';
  /** In the file's order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Metadata;
  /**
   * A tensor's values as float32, row-major. Apart from the result this needs a few MB, whatever the tensor's size.
   * Float64 and integers are rounded to float32, booleans become 0 and 1.
   * @throws ModelError if there is no such tensor, FormatError if its dtype is not supported or the file is
   *     shorter than it was.
   */
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** How the bytes of a dtype become float32. */
export interface Encoding {
  readonly dtype: string;
  /** Values and bytes of the smallest piece that decodes by itself. */
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Decodes whole blocks into `values` from index `from` on. Absent if eigenkv does not read this dtype. */
  readonly decode?: (bytes: Uint8Array, values: Float32Array, from: number) => void;
}

/** A tensor and its byte range. */
export interface StoredTensor extends TensorInfo {
  /** Of its first byte in the source. */
  readonly offset: number;
  readonly encoding: Encoding;
}

/** The most undecoded bytes in memory while a tensor is read. */
const pieceBytes = 4 * 1024 * 1024;

/** A TensorFile over checked tensors: every range must be inside the source. */
export function tensorFile(
  format: TensorFile['format'],
  source: ByteSource,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Metadata,
  supported: readonly string[],
): TensorFile {
  return {
    format,
    tensors,
    metadata,
    async readFloat32(name) {
      return readTensor(source, findTensor(tensors, name, source.name), supported);
    },
    close: () => source.close(),
  };
}

/** The tensor of that name, or a ModelError that suggests a similar name. */
export function findTensor<T extends TensorInfo>(
  tensors: ReadonlyMap<string, T>,
  name: string,
  file: string,
): T {
  const tensor = tensors.get(name);
  if (tensor !== undefined) return tensor;
  throw new ModelError(
    `${file} holds no tensor "${name}" (it holds ${tensors.size}).${didYouMean(name, [...tensors.keys()])}`,
  );
}

async function readTensor(
  source: ByteSource,
  tensor: StoredTensor,
  supported: readonly string[],
): Promise<Float32Array> {
  const {encoding, offset, byteLength, name} = tensor;
  const {decode, blockBytes, blockSize} = encoding;
  if (decode === undefined) {
    throw new FormatError(
      `Tensor "${name}" of ${source.name} is stored as ${encoding.dtype}, which eigenkv does not read. ` +
        `It reads ${supported.join(', ')}: convert the file to one of these.`,
    );
  }
  const values = allocate((byteLength / blockBytes) * blockSize, tensor);
  const step = Math.max(1, Math.floor(pieceBytes / blockBytes)) * blockBytes;
  for (let done = 0; done < byteLength; done += step) {
    const bytes = await source.read(offset + done, Math.min(step, byteLength - done));
    decode(bytes, values, (done / blockBytes) * blockSize);
  }
  return values;
}

function allocate(length: number, tensor: TensorInfo): Float32Array {
  try {
    return new Float32Array(length);
  } catch (error) {
    throw new ModelError(
      `Tensor "${tensor.name}" [${tensor.shape.join(', ')}] needs ${length * 4} bytes as float32, ` +
        'more than this machine gives; use a smaller model.',
      {cause: error},
    );
  }
}

/**
 * The number of values of a shape.
 * @throws FormatError if an axis is not a whole number >= 0, or if the product exceeds 2^53.
 */
export function elementCount(shape: readonly unknown[], tensorName: string, fileName: string): number {
  let count = 1;
  for (const axis of shape) {
    if (typeof axis !== 'number' || !Number.isSafeInteger(axis) || axis < 0) {
      throw new FormatError(`Tensor "${tensorName}" of ${fileName} has an axis of ${shown(axis)} values.`);
    }
    count *= axis;
    if (!Number.isSafeInteger(count)) {
      throw new FormatError(
        `Tensor "${tensorName}" of ${fileName} claims more than 2^53 values: ${shown(shape)}.`,
      );
    }
  }
  return count;
}
