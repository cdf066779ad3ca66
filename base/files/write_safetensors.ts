import {InvalidArgumentError} from '../errors.js';
import {writeFileAtomically} from './disk.js';
import {halfChunks} from './half_chunks.js';

/** Values that a dtype is written from. */
interface ValuesOf {
  F32: Float32Array;
  F16: Float32Array;
  BF16: Float32Array;
  I32: Int32Array;
  U8: Uint8Array;
}

export type WritableDtype = keyof ValuesOf;

/** A tensor to be written; its data is requested when it is written, so that only one tensor is in memory. */
export type TensorToWrite = {
  [D in WritableDtype]: {
    readonly name: string;
    readonly dtype: D;
    /** Row-major, outermost axis first. */
    readonly shape: readonly number[];
    readonly data: () => Promise<ValuesOf[D]> | ValuesOf[D];
  };
}[WritableDtype];

export interface SafetensorsOptions {
  /** Strings kept in the header's `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

const dtypeBytes: Readonly<Record<WritableDtype, number>> = {F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1};

/**
 * A safetensors file as a stream of chunks. The same tensors give the same bytes in whatever order they come: wider
 * dtypes first (so that every tensor is aligned to its dtype), then by name; the header is padded to 8 bytes.
 * F16 and BF16 round to nearest, ties to even.
 * @throws InvalidArgumentError for a duplicate name, data that does not fit its shape, or a finite value that
 *     float16 or bfloat16 cannot hold.
 */
async function* safetensorsChunks(
  tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>,
  {metadata}: SafetensorsOptions = {},
): AsyncGenerator<Uint8Array> {
  const ordered = await inFileOrder(tensors);
  yield headerBytes(ordered, metadata);
  for (const tensor of ordered) yield* dataChunks(tensor);
}

/** A whole safetensors file in memory; needs the memory of one more tensor; see `safetensorsChunks`. */
export async function writeSafetensors(
  tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>,
  {metadata}: SafetensorsOptions = {},
): Promise<Uint8Array> {
  const ordered = await inFileOrder(tensors);
  const header = headerBytes(ordered, metadata);
  const dataLength = ordered.reduce((sum, tensor) => sum + countOf(tensor) * dtypeBytes[tensor.dtype], 0);
  const bytes = new Uint8Array(header.length + dataLength);
  bytes.set(header);
  let offset = header.length;
  for (const tensor of ordered) offset = await copyData(tensor, bytes, offset);
  return bytes;
}

/** A function of its own, as `dataChunks` is for one tensor: a loop would hold the last one while it waits for the next. */
async function copyData(tensor: TensorToWrite, bytes: Uint8Array, from: number): Promise<number> {
  let offset = from;
  for await (const chunk of dataChunks(tensor)) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return offset;
}

async function* dataChunks(tensor: TensorToWrite): AsyncGenerator<Uint8Array> {
  if (tensor.dtype === 'F16' || tensor.dtype === 'BF16') {
    yield* halfChunks(tensor.name, tensor.dtype, checkLength(tensor, await tensor.data()));
  } else {
    const values = checkLength(tensor, await tensor.data());
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
}

/**
 * Writes a safetensors file, one tensor in memory at a time (Node only). `path` is replaced at the end, after the
 * bytes reached the disk; if anything fails, no partial file remains. See `safetensorsChunks`.
 * @throws TransferError if the disk is full or fails.
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>,
  options: SafetensorsOptions = {},
): Promise<void> {
  await writeFileAtomically(path, safetensorsChunks(tensors, options));
}

async function inFileOrder(
  tensors: Iterable<TensorToWrite> | AsyncIterable<TensorToWrite>,
): Promise<TensorToWrite[]> {
  const byName = new Map<string, TensorToWrite>();
  for await (const tensor of tensors) {
    const {name, shape} = tensor;
    if (name === '__metadata__' || byName.has(name)) {
      throw new InvalidArgumentError(
        `The tensor name "${name}" is ${byName.has(name) ? 'given twice' : 'reserved'}.`,
      );
    }
    if (
      !shape.every(axis => Number.isSafeInteger(axis) && axis >= 0) ||
      !Number.isSafeInteger(countOf(tensor))
    ) {
      throw new InvalidArgumentError(
        `Tensor "${name}" has the shape [${shape.join(', ')}]; axes are whole numbers >= 0.`,
      );
    }
    byName.set(name, tensor);
  }
  return [...byName.values()].sort(
    (a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.name < b.name ? -1 : 1),
  );
}

function headerBytes(
  tensors: readonly TensorToWrite[],
  metadata: SafetensorsOptions['metadata'],
): Uint8Array {
  const entries: [string, unknown][] = [];
  if (metadata !== undefined) {
    entries.push([
      '__metadata__',
      Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))),
    ]);
  }
  let begin = 0;
  for (const tensor of tensors) {
    const end = begin + countOf(tensor) * dtypeBytes[tensor.dtype];
    entries.push([tensor.name, {dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end]}]);
    begin = end;
  }
  // fromEntries defines own properties, so that a tensor called "__proto__" is one too
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const paddedLength = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + paddedLength).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(paddedLength), true);
  bytes.set(json, 8);
  return bytes;
}

function checkLength<T extends ArrayLike<number>>(tensor: TensorToWrite, values: T): T {
  if (values.length === countOf(tensor)) return values;
  throw new InvalidArgumentError(
    `Tensor "${tensor.name}" [${tensor.shape.join(', ')}] got ${values.length} values of data.`,
  );
}

function countOf({shape}: TensorToWrite): number {
  return shape.reduce((product, axis) => product * axis, 1);
}
