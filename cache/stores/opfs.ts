import {unshared} from '../../base/shared_memory.js';
import {type ByteStore, type StoreOptions, byteStore} from './store.js';

/** What this store needs of a `FileSystemDirectoryHandle`. */
export interface OpfsFolder {
  getDirectoryHandle(name: string, options: {create: boolean}): Promise<OpfsFolder>;
  getFileHandle(name: string, options: {create: boolean}): Promise<OpfsFile>;
}

/** What it needs of a `FileSystemFileHandle`. */
export interface OpfsFile {
  getFile(): Promise<Blob>;
  createWritable(): Promise<{
    write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
}

export interface OpfsOptions extends StoreOptions {
  /** Default "eigenkv". */
  readonly folder?: string;
  /** Default: the root of the page's own. */
  readonly root?: () => Promise<OpfsFolder>;
}

/**
 * Files in a browser's origin private file system. What is written goes into a file aside, which takes the place of the
 * former one as it is closed: a snapshot is there whole, or not at all.
 */
export function opfsStore({
  folder = 'eigenkv',
  root = () => navigator.storage.getDirectory(),
  ...options
}: OpfsOptions = {}): ByteStore {
  const fileOf = async (name: string, create: boolean) =>
    (await (await root()).getDirectoryHandle(folder, {create: true})).getFileHandle(`${name}.safetensors`, {
      create,
    });
  const files = {
    async get(name: string) {
      try {
        const file = await (await fileOf(name, false)).getFile();
        return file.size === 0 ? undefined : await file.arrayBuffer(); // empty: made, and never closed
      } catch (error) {
        if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
        throw error;
      }
    },
    async set(name: string, bytes: Uint8Array) {
      const writable = await (await fileOf(name, true)).createWritable();
      try {
        await writable.write(unshared(bytes));
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => undefined);
        throw error;
      }
    },
  };
  return byteStore(files, options, 'origin private file system');
}
