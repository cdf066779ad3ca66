import {FormatError, InvalidArgumentError, ModelError, didYouMean, shown} from '../errors.js';
import type {ByteSource} from './byte_source.js';
import type {CodedRow} from './coded_row.js';

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

/**
 * Some rows of a tensor. A row is what lies along the last axis: `[outputs, inputs]` has `outputs` rows of `inputs` values, a vector
 * is one row.
 */
export interface RowRange {
  readonly start: number;
  /** The row after the last one. */
  readonly end: number;
}

/** An open file of weights: its header is read and checked, its tensors are read on demand. */
export interface TensorFile {
  readonly format: 'safetensors' | 'gguf';
  /** In the file's order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Metadata;
  /** Its matrices were packed when it was saved, and are loaded so. Default false; GGUF files always are. */
  readonly isPacked?: boolean;
  /**
   * The values of a tensor, or of some of its rows, as float32, row-major. Apart from the result this needs a few MB, whatever the
   * tensor's size. Float64 and integers are rounded to float32, booleans become 0 and 1.
   * @throws ModelError if there is no such tensor, InvalidArgumentError if it does not have these rows, FormatError if its dtype is not
   *     supported or the file is shorter than it was.
   */
  readFloat32(name: string, rows?: RowRange): Promise<Float32Array>;
  /**
   * Rows of a tensor as they are stored, without a detour through float32: of quantised types codes, scales and minima (see
   * `quantized`); of F16 and BF16 the bits of the numbers. Undefined if the dtype is of another kind. All rows are in memory at once,
   * and, as with `readFloat32`, nobody else keeps them.
   * @throws as `readFloat32`.
   */
  readAsStored(name: string, rows: RowRange): Promise<CodedRow | Uint16Array | undefined>;
  /**
   * The bytes of a tensor's rows, whatever they are.
   * @throws as `readFloat32`.
   */
  readBytes(name: string, rows: RowRange): Promise<Uint8Array>;
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
  /** Whole blocks as codes, or as 16-bit numbers, in memory of their own. Absent if they are stored as something else. */
  readonly asStored?: (bytes: Uint8Array) => CodedRow | Uint16Array;
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
    async readFloat32(name, rows) {
      const tensor = findTensor(tensors, name, source.name);
      return readValues(source, tensor, rangeOf(tensor, rows), supported);
    },
    async readAsStored(name, rows) {
      const tensor = findTensor(tensors, name, source.name);
      const {start, end} = rangeOf(tensor, rows);
      const {asStored} = tensor.encoding;
      if (asStored === undefined) return undefined;
      const bytes = await source.read(tensor.offset + start, end - start);
      const numbers = asStored(bytes);
      source.release(bytes);
      return numbers;
    },
    async readBytes(name, rows) {
      const tensor = findTensor(tensors, name, source.name);
      const {start, end} = rangeOf(tensor, rows);
      return source.read(tensor.offset + start, end - start);
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

/**
 * The bytes of rows within their tensor.
 * @throws InvalidArgumentError if the tensor does not have these rows.
 */
function rangeOf({name, shape, byteLength, encoding}: StoredTensor, rows: RowRange | undefined): RowRange {
  if (rows === undefined) return {start: 0, end: byteLength};
  const {start, end} = rows;
  const count = shape.slice(0, -1).reduce((product, axis) => product * axis, 1);
  if (!(
    Number.isSafeInteger(start) &&
    Number.isSafeInteger(end) &&
    0 <= start &&
    start <= end &&
    end <= count
  )) {
    throw new InvalidArgumentError(
      `Rows ${start} to ${end} of tensor "${name}" were asked for, which has ${count}: [${shape.join(', ')}].`,
    );
  }
  const rowBytes = ((shape.at(-1) ?? 1) / encoding.blockSize) * encoding.blockBytes;
  return {start: start * rowBytes, end: end * rowBytes};
}

async function readValues(
  source: ByteSource,
  tensor: StoredTensor,
  {start, end}: RowRange,
  supported: readonly string[],
): Promise<Float32Array> {
  const {encoding, offset, name} = tensor;
  const {decode, blockBytes, blockSize} = encoding;
  if (decode === undefined) {
    throw new FormatError(
      `Tensor "${name}" of ${source.name} is stored as ${encoding.dtype}, which eigenkv does not read. ` +
        `It reads ${supported.join(', ')}: convert the file to one of these.`,
    );
  }
  const values = allocate(((end - start) / blockBytes) * blockSize, tensor);
  const step = Math.max(1, Math.floor(pieceBytes / blockBytes)) * blockBytes;
  for (let at = start; at < end; at += step) {
    const bytes = await source.read(offset + at, Math.min(step, end - at));
    decode(bytes, values, ((at - start) / blockBytes) * blockSize);
    source.release(bytes);
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
