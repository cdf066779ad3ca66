import {FormatError, InvalidArgumentError} from '../errors.js';
import {freeArrays} from '../free_arrays.js';
import {unshared} from '../shared_memory.js';
import {diskError, errorCode} from './disk.js';

/** A source of known size that is read by byte ranges: a file, a browser's Blob or File, bytes in memory. */
export interface ByteSource {
  /** What messages call it: a path or a file's name. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /**
   * The bytes `[offset, offset + length)`. They may be a view of the source's own memory: do not write into them.
   * @throws FormatError if the range reaches beyond the end.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Says that nobody needs these bytes of `read` any more: frees them if they are a copy. */
  release(bytes: Uint8Array): void;
  close(): Promise<void>;
}

/**
 * A file on disk (Node only; the module is imported when first called, so that bundles for browsers work without it).
 * @throws InvalidArgumentError if there is no such file, TransferError if the disk fails.
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  const {open} = process.getBuiltinModule('node:fs/promises');
  const handle = await open(path, 'r').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT')
      throw new InvalidArgumentError(`There is no file ${path}.`, {cause: error});
    throw diskError(error, `open ${path}`);
  });
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new InvalidArgumentError(`${path} is not a file; name a file inside it.`);
  }
  const size = stats.size;
  return {
    name: path,
    size,
    async read(offset, length) {
      checkRange(path, size, offset, length);
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const {bytesRead} = await handle
          .read(bytes, filled, length - filled, offset + filled)
          .catch((error: unknown) => {
            throw diskError(error, `read ${path}`);
          });
        if (bytesRead === 0)
          throw new FormatError(`${path} became shorter while it was read; read it again.`);
        filled += bytesRead;
      }
      return bytes;
    },
    release: freeArrays,
    close: () => handle.close(),
  };
}

/** A Blob, such as the File that a browser's file input gives. */
export function blobSource(blob: Blob, name = 'name' in blob ? String(blob.name) : 'blob'): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
    release: freeArrays,
    close: () => Promise.resolve(),
  };
}

/** Bytes in memory; reads are views of them, or copies if they are in shared memory. */
export function bytesSource(bytes: Uint8Array, name = 'bytes'): ByteSource {
  return {
    name,
    size: bytes.length,
    // `async` so that a bad range rejects, as with the other sources, and does not throw
    // eslint-disable-next-line @typescript-eslint/require-await
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return unshared(bytes.subarray(offset, offset + length));
    },
    release: () => undefined,
    close: () => Promise.resolve(),
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= size;
  if (inside) return;
  throw new FormatError(
    `${name} has ${size} bytes, but bytes ${offset} to ${offset + length} were asked for: ` +
      'it is truncated or damaged; download or convert it again.',
  );
}
