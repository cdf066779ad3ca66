import {FormatError} from '../errors.js';
import type {ByteSource} from './byte_source.js';
import {foreignBytes, foreignContent} from './foreign_content.js';
import {GgufCursor} from './gguf_cursor.js';
import {readMetadata} from './gguf_metadata.js';
import {ggmlTypes, readableTypes, removedTypes} from './gguf_types.js';
import {type StoredTensor, type TensorFile, elementCount, tensorFile} from './tensor_file.js';

const magic = 0x46554747; // "GGUF", little endian
const defaultAlignment = 32;
/** Far more than real files have (some thousands), so that a small file cannot request much memory. */
const maxTensors = 65_536;
const maxAxes = 4;

/**
 * Opens a GGUF file, version 2 or 3, little endian: metadata, a table of tensors, then their bytes. Only the header
 * is read, by growing ranges. All lengths, counts and offsets are checked against the file before memory is taken:
 * tensors must be aligned, inside the file and apart from each other.
 * Source: docs/gguf.md of ggml-org/ggml. The source is closed when the TensorFile is, or when opening fails.
 * @throws FormatError if the file is not a whole, valid GGUF file of these versions.
 */
export async function openGguf(source: ByteSource): Promise<TensorFile> {
  try {
    const cursor = new GgufCursor(source);
    await checkVersion(cursor, source);
    const tensorCount = cursor.checkCount(await cursor.uint64('the tensor count'), 0, 'tensors', maxTensors);
    const metadata = await readMetadata(cursor, await cursor.uint64('the metadata count'));
    const alignment = metadata.get('general.alignment') ?? defaultAlignment;
    if (
      typeof alignment !== 'number' ||
      alignment < 1 ||
      alignment > 2 ** 20 ||
      !Number.isInteger(Math.log2(alignment))
    ) {
      throw cursor.damaged(`its alignment is ${String(alignment)}, not a power of two`);
    }
    const tensors = await readTensorTable(cursor, tensorCount, alignment, source);
    return tensorFile('gguf', source, tensors, metadata, readableTypes);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function checkVersion(cursor: GgufCursor, source: ByteSource): Promise<void> {
  if (source.size < 4 || (await cursor.uint32('its first word')) !== magic) {
    const foreign = foreignContent(await source.read(0, Math.min(foreignBytes, source.size)));
    if (foreign !== undefined) throw new FormatError(`${source.name} ${foreign}.`);
    throw cursor.damaged('it does not begin with "GGUF"');
  }
  const version = await cursor.uint32('the version');
  if (version === 2 || version === 3) return;
  const swapped = (version & 0xffff) === 0 && version !== 0;
  throw cursor.damaged(
    swapped
      ? 'it is big endian; only little endian is read'
      : `it is of version ${version}; 2 and 3 are read`,
  );
}

async function readTensorTable(
  cursor: GgufCursor,
  claimed: number,
  alignment: number,
  source: ByteSource,
): Promise<Map<string, StoredTensor>> {
  // an entry has at least a name's length, its axes' count, a type and an offset
  const count = cursor.checkCount(claimed, 24, 'tensors', maxTensors);
  const tensors = new Map<string, StoredTensor>();
  for (let i = 0; i < count; i++) {
    const tensor = await readEntry(cursor, source.name);
    if (tensors.has(tensor.name)) throw cursor.damaged(`it has tensor "${tensor.name}" twice`);
    if (tensor.offset % alignment !== 0) {
      throw cursor.damaged(
        `tensor "${tensor.name}" is at ${tensor.offset}, not aligned to ${alignment} bytes`,
      );
    }
    tensors.set(tensor.name, tensor);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  for (const [name, tensor] of tensors) tensors.set(name, {...tensor, offset: tensor.offset + dataStart});
  checkLayout(tensors, cursor, source);
  return tensors;
}

/** An entry of the table, its offset still relative to the start of the data. */
async function readEntry(cursor: GgufCursor, fileName: string): Promise<StoredTensor> {
  const name = await cursor.string('a tensor name');
  const axes = await cursor.uint32(`the axes of "${name}"`);
  if (axes > maxAxes)
    throw cursor.damaged(`tensor "${name}" claims ${axes} axes; at most ${maxAxes} are allowed`);
  const shape: number[] = [];
  for (let axis = 0; axis < axes; axis++) shape.unshift(Number(await cursor.uint64(`the axes of "${name}"`)));
  const type = await cursor.uint32(`the type of "${name}"`);
  const offset = Number(await cursor.uint64(`the offset of "${name}"`));
  const encoding = ggmlTypes.get(type);
  if (encoding === undefined) throw unknownType(type, name, fileName);
  const values = elementCount(shape, name, fileName);
  const {dtype, blockSize, blockBytes} = encoding;
  if ((shape.at(-1) ?? 1) % blockSize !== 0) {
    throw cursor.damaged(
      `tensor "${name}" has rows of ${shape.at(-1) ?? 1} values, not blocks of ${blockSize} (${dtype})`,
    );
  }
  return {name, dtype, shape, byteLength: (values / blockSize) * blockBytes, offset, encoding};
}

function unknownType(type: number, tensor: string, fileName: string): FormatError {
  const removed = removedTypes.get(type);
  return new FormatError(
    `Tensor "${tensor}" of ${fileName} ` +
      (removed === undefined
        ? `has the type ${type}, which eigenkv does not know: it is newer, or the file is damaged. `
        : `is stored as ${removed} (type ${type}), which ggml has removed. `) +
      `Take or make a file of these types: ${readableTypes.join(', ')}.`,
  );
}

function checkLayout(
  tensors: ReadonlyMap<string, StoredTensor>,
  cursor: GgufCursor,
  source: ByteSource,
): void {
  const inOrder = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = 0;
  for (const tensor of inOrder) {
    const {name, offset, byteLength} = tensor;
    if (offset < end) throw cursor.damaged(`tensor "${name}" overlaps the one before it`);
    end = offset + byteLength;
    if (!Number.isSafeInteger(end) || end > source.size) {
      throw cursor.damaged(`tensor "${name}" ends at byte ${end}, but the file has ${source.size} bytes`);
    }
  }
}
