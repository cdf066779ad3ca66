import {FormatError} from '../errors.js';
import {isRecord} from '../records.js';
import type {ByteSource} from './byte_source.js';
import {foreignBytes, foreignContent} from './foreign_content.js';
import {parseJsonText} from './json_text.js';
import {
  bf16,
  bool,
  f16,
  f32,
  f64,
  f8e4m3,
  f8e5m2,
  i16,
  i32,
  i64,
  i8,
  u16,
  u32,
  u64,
  u8,
} from './plain_encodings.js';
import {type Encoding, type StoredTensor, type TensorFile, elementCount, tensorFile} from './tensor_file.js';

const encodings: ReadonlyMap<unknown, Encoding> = new Map(
  [f32, f16, bf16, f64, i8, i16, i32, i64, u8, u16, u32, u64, bool, f8e4m3, f8e5m2].map(e => [e.dtype, e]),
);
const dtypes = [...encodings.values()].map(encoding => encoding.dtype);

/** The limit of the format's reference implementation. */
const maxHeaderBytes = 100_000_000;

/** Far more than real files have (some thousands), so that a small file cannot request much memory. */
const maxTensors = 65_536;

/**
 * Opens a safetensors file: eight bytes of header length, a JSON header, then the tensors' bytes. Only the header is
 * read. It is checked against the file: dtypes, shapes, and that the tensors
 * follow each other without overlap or gap, from the end of the header to the end of the file.
 * Source: the format of huggingface/safetensors. The source is closed when the TensorFile is, or when opening fails.
 * @throws FormatError if the file is not a whole, valid safetensors file.
 */
export async function openSafetensors(source: ByteSource): Promise<TensorFile> {
  try {
    const {tensors, metadata} = await readSafetensorsHeader(source);
    return tensorFile('safetensors', source, tensors, metadata, dtypes);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * The tensors of a safetensors file with their byte ranges, and its metadata; checked as in `openSafetensors`.
 * @throws FormatError if the file is not a whole, valid safetensors file.
 */
export async function readSafetensorsHeader(
  source: ByteSource,
): Promise<{tensors: Map<string, StoredTensor>; metadata: Map<string, string>}> {
  const {header, dataStart} = await readHeader(source);
  const tensors = new Map<string, StoredTensor>();
  let metadata = new Map<string, string>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') metadata = readMetadata(entry, source.name);
    else tensors.set(name, readEntry(name, entry, source.name, dataStart));
  }
  checkLayout(tensors, dataStart, source);
  return {tensors, metadata};
}

async function readHeader(source: ByteSource): Promise<{header: object; dataStart: number}> {
  const start = await source.read(0, Math.min(foreignBytes, source.size));
  const foreign = foreignContent(start);
  if (foreign !== undefined) throw new FormatError(`${source.name} ${foreign}.`);
  if (source.size < 8) throw notSafetensors(source.name, `it has only ${source.size} bytes`);
  const headerBytes = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > maxHeaderBytes) {
    throw notSafetensors(
      source.name,
      `it claims a header of ${headerBytes} bytes; ${maxHeaderBytes} are allowed`,
    );
  }
  if (8 + headerBytes > source.size) {
    throw notSafetensors(
      source.name,
      `its header should have ${headerBytes} bytes, but the file has ${source.size}`,
    );
  }
  let text: string;
  const bytes = await source.read(8, headerBytes);
  try {
    text = new TextDecoder('utf-8', {fatal: true}).decode(bytes);
  } catch (error) {
    throw notSafetensors(source.name, 'its header is not UTF-8', error);
  }
  const header = parseJsonText(text, `The header of ${source.name}`);
  if (!isRecord(header)) throw notSafetensors(source.name, 'its header is not a JSON object');
  if (Object.keys(header).length > maxTensors) {
    throw notSafetensors(source.name, `it claims more than ${maxTensors} tensors`);
  }
  return {header, dataStart: 8 + headerBytes};
}

function readMetadata(entry: unknown, fileName: string): Map<string, string> {
  if (!isRecord(entry)) throw notSafetensors(fileName, 'its __metadata__ is not an object');
  const metadata = new Map<string, string>();
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') throw notSafetensors(fileName, `its metadata "${key}" is not a string`);
    metadata.set(key, value);
  }
  return metadata;
}

function readEntry(name: string, entry: unknown, fileName: string, dataStart: number): StoredTensor {
  if (!isRecord(entry)) throw notSafetensors(fileName, `the entry of tensor "${name}" is not an object`);
  const {dtype, shape, data_offsets: offsets} = entry;
  const encoding = encodings.get(dtype);
  if (encoding === undefined) {
    throw new FormatError(
      `Tensor "${name}" of ${fileName} has the dtype ${JSON.stringify(dtype)}; eigenkv reads ${dtypes.join(', ')}.`,
    );
  }
  if (!Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2) {
    throw notSafetensors(fileName, `tensor "${name}" lacks a shape or its two data_offsets`);
  }
  const count = elementCount(shape, name, fileName);
  const [begin, end] = offsets as unknown[];
  if (!isOffset(begin) || !isOffset(end) || end < begin) {
    throw notSafetensors(fileName, `tensor "${name}" has the data_offsets ${JSON.stringify(offsets)}`);
  }
  const byteLength = end - begin;
  if (count * encoding.blockBytes !== byteLength) {
    throw notSafetensors(
      fileName,
      `tensor "${name}" is ${encoding.dtype} [${shape.join(', ')}], ${count * encoding.blockBytes} bytes, ` +
        `but its data_offsets span ${byteLength}`,
    );
  }
  return {
    name,
    dtype: encoding.dtype,
    shape: shape as number[],
    byteLength,
    offset: dataStart + begin,
    encoding,
  };
}

/** The format requires that the tensors fill the file, so that none overlap and there is nothing between them. */
function checkLayout(
  tensors: ReadonlyMap<string, StoredTensor>,
  dataStart: number,
  source: ByteSource,
): void {
  const inOrder = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const tensor of inOrder) {
    if (tensor.offset !== end) {
      const fault = tensor.offset < end ? 'overlaps the one before it' : 'leaves a gap before it';
      throw notSafetensors(
        source.name,
        `tensor "${tensor.name}" ${fault} (starts at byte ${tensor.offset}, not ${end})`,
      );
    }
    end += tensor.byteLength;
  }
  if (end !== source.size) {
    throw notSafetensors(
      source.name,
      `its tensors end at byte ${end}, but the file has ${source.size} bytes`,
    );
  }
}

function isOffset(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function notSafetensors(fileName: string, why: string, cause?: unknown): FormatError {
  return new FormatError(
    `${fileName} is not a whole safetensors file: ${why}. Download or convert it again.`,
    cause === undefined ? undefined : {cause},
  );
}
